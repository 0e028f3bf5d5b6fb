variable "token" {
  sensitive = true
  default   = "hunter2-token"
}
provider "helm" {
  kubernetes = {
    config_path    = "~/.kube/config"
    config_context = "main"
  }
}
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  set = [
    { name = "git.url", value = "git@github.com:example/shop" },
    { name = "git.path", value = "base\\,prod" },
    { name = "podLabels.version", value = "1.10", type = "string" },
  ]
  set_list      = [{ name = "allowedNamespaces", value = ["shop", "bank"] }]
  set_sensitive = [{ name = "token", value = var.token }]
}
