locals {
  clusters = { default = "dev", prod = "main" }
}
resource "helm_release" "flux" {
  name  = "flux-${terraform.workspace}"
  chart = "flux"
  count = terraform.workspace == "prod" ? 1 : 0
  set {
    name  = "git.branch"
    value = local.clusters[terraform.workspace]
  }
}
