auto     = "auto"
file     = "auto"
every    = "auto"
argument = "auto"
