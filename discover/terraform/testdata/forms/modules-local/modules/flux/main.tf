variable "team" { type = string }
variable "url" { type = string }
variable "interval" { default = "5m" }
resource "kubernetes_namespace" "this" {
  metadata { name = "flux-${var.team}" }
}
module "release" {
  source    = "../release"
  namespace = kubernetes_namespace.this.metadata[0].name
  values    = { git = { url = var.url, pollInterval = var.interval } }
}
output "namespace" { value = module.release.namespace }
output "url" { value = var.url }
