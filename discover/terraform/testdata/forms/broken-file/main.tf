resource "helm_release" "before" {
  name       = "before"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = local.url } })]
}
