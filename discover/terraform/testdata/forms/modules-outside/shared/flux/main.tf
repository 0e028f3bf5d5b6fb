variable "url" {}
resource "helm_release" "flux" {
  name  = "flux-above"
  chart = "flux"
  set {
    name  = "git.url"
    value = var.url
  }
}
