locals {
  defaults = { branch = "main", pollInterval = "5m" }
  team     = { url = "git@github.com:example/shop", branch = "prod" }
}
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = merge(local.defaults, local.team) })]
}
