variable "paths" { default = ["base", "prod"] }
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = "git@github.com:example/shop", path = join(",", var.paths) }, syncGarbageCollection = { enabled = true } })]
}
