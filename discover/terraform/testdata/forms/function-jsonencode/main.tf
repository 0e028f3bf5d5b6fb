resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [jsonencode({ git = { url = "git@github.com:example/shop", branch = "prod" }, allowedNamespaces = ["shop"] })]
}
