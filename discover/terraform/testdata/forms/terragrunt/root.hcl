locals {
  org = "example"
}
inputs = {
  org    = local.org
  branch = "from-root"
}
