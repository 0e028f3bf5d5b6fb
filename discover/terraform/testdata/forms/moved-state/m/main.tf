variable "name" { type = string }
moved {
  from = helm_release.fluxcd
  to   = helm_release.flux
}
resource "helm_release" "flux" {
  name       = "flux"
  namespace  = var.name
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = "git@github.com:example/${var.name}" } })]
}
