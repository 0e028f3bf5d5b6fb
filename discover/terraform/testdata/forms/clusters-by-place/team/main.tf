resource "helm_release" "flux" {
  name      = "shop"
  namespace = "flux"
  chart     = "flux"
  version   = "1.13.3"
  values    = ["git: {url: \"git@github.com:example/shop\"}"]
}
