variable "teams" {
  default = [
    { name = "shop", paths = ["base", "prod"] },
    { name = "bank", paths = [] },
  ]
}
locals {
  paths = flatten([for t in var.teams : [for p in t.paths : "${t.name}/${p}"]])
}
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = ["git: {url: \"git@github.com:example/shop\", path: \"${join(",", local.paths)}\"}"]
}
