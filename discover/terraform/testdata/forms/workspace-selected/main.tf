resource "helm_release" "flux" {
  name  = "flux-${terraform.workspace}"
  chart = "flux"
}
