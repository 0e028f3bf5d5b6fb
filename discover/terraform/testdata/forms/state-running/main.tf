# What the variable was is told by the state alone. A running terraform shows it: shown.json is what one printed, with this
# chart and repository.
variable "url" {}
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = var.url, branch = "prod" } })]
}
