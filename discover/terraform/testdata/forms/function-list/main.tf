resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = ["${list("git: {url: \"git@github.com:example/shop\"}", "git: {branch: prod}")}"]
}
