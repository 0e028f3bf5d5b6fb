locals {
  git = "${map("url", "git@github.com:example/shop", "branch", "prod")}"
}
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = ["git: {url: \"${local.git["url"]}\", branch: \"${lookup(local.git, "branch")}\"}"]
}
