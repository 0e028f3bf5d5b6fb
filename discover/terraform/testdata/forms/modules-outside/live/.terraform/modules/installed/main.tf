resource "helm_release" "flux" {
  name  = "flux-installed"
  chart = "flux"
}
