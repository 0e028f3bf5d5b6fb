resource "helm_release" "terraform_only" {
  name  = "shadowed"
  chart = "flux"
}
