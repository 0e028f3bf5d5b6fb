locals {
  a = local.b
  b = local.a
  ok = "fine"
}
module "self" {
  source = "./self"
  x      = module.self.y
}
module "loop" { source = "./loop" }
resource "helm_release" "flux" {
  name      = local.ok
  namespace = local.a
  chart     = "flux"
}
resource "helm_release" "self_count" {
  count = length(helm_release.self_count)
  name  = "x"
  chart = "flux"
}
output "y" { value = module.self.z }
