data "helm_repository" "fluxcd" {
  name = "fluxcd"
  url  = "https://charts.fluxcd.io"
}
resource "helm_repository" "mirror" {
  name = "mirror"
  url  = "https://charts.example.com"
}
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = data.helm_repository.fluxcd.metadata[0].name
  chart      = "flux"
  version    = "1.3.0"
  values     = ["git: {url: \"git@github.com:example/shop\"}"]
}
resource "helm_release" "by_prefix" {
  name      = "bank"
  namespace = "flux"
  chart     = "mirror/flux"
  version   = "1.3.0"
  values    = ["git: {url: \"git@github.com:example/bank\"}"]
  depends_on = [helm_repository.mirror]
}
