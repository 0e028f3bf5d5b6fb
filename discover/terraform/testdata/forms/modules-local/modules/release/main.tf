variable "namespace" {}
variable "values" {}
resource "helm_release" "flux" {
  name      = "flux"
  namespace = var.namespace
  chart     = "flux"
  values    = [yamlencode(var.values)]
}
output "namespace" { value = helm_release.flux.namespace }
