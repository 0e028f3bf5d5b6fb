url = "from-file"
branch = "from-file"
