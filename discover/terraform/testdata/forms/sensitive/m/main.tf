variable "url" {}
output "url" { value = var.url }
resource "helm_release" "m" {
  name  = "m"
  chart = "flux"
  set {
    name  = "git.url"
    value = var.url
  }
}
