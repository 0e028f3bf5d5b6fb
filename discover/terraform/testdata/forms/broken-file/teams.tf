locals {
  url = "git@github.com:example/before"
}
resource "helm_release" "within" {
  name       = "within"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  set {
    name  = "git.url"
    value = "git@github.com:example/within
  }
  set {
    name  = "git.branch"
    value = "prod"
  }
}
resource "helm_release" "behind" {
  name       = "behind"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
}
