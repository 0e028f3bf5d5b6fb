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
# Its set_wo is merged over the rest as a whole, so that it replaces the list.
resource "helm_release" "write_only" {
  name            = "bank"
  chart           = "flux"
  version         = "1.13.3"
  values          = ["git: {url: \"git@github.com:example/bank\"}\nargs: [a, b, c]"]
  set_wo          = [{ name = "git.user", value = var.token }, { name = "args[1]", value = "d" }]
  set_wo_revision = 1
}
resource "helm_release" "write_only_unread" {
  name    = "shop-too"
  chart   = "flux"
  version = "1.13.3"
  values  = ["git: {url: \"git@github.com:example/shop\"}"]
  set_wo  = [{ name = "git.url", value = "git@github.com:example/other" }]
}
