file     = "file"
every    = "file"
argument = "file"
