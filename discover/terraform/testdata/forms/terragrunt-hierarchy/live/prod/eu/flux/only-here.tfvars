overridden = "here"
