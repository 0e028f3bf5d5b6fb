variable "host" { type = string }
variable "on" { type = bool }
module "names" {
  source = "./names"
  host   = var.host
}
module "flux" {
  source = "./flux"
  url    = module.names.url
  config = {
    url    = "ssh://${module.names.url}"
    branch = "main"
  }
  extra = var.on ? "a" : "b"
}
module "maybe" {
  source = "./flux"
  count  = var.on ? 1 : 0
  url    = "u"
  config = {}
  extra  = ""
}
output "maybe" { value = module.maybe[0].name }
