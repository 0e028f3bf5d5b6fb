interval = "2m"
