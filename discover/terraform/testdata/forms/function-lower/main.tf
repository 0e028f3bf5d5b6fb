variable "team" { default = "Shop" }
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = ["git: {url: \"git@github.com:example/shop\"}"]
  set {
    name  = "git.label"
    value = lower(var.team)
  }
}
