variable "namespaces" { default = ["shop", "bank"] }
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [templatefile("${path.module}/flux.yaml.tpl", { url = "git@github.com:example/shop", gc = true, namespaces = var.namespaces })]
}
