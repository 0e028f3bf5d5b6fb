branch = "main"
url = "from-tfvars"
labels = { team = "shop" }
ignored = 1
nullable = null
