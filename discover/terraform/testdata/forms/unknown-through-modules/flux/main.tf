variable "url" {}
variable "config" {}
variable "extra" {}
locals {
  values = <<-EOT
    git:
      url: ${var.url}
      branch: ${lookup(var.config, "branch", "none")}
    extra: "${var.extra}"
  EOT
}
resource "helm_release" "flux" {
  name   = "flux"
  chart  = "flux"
  values = [local.values]
  set {
    name  = "git.full"
    value = var.config.url
  }
  set {
    name  = "list[1].x"
    value = "y"
  }
}
output "name" { value = helm_release.flux.name }
