resource "helm_release" "x" {
  name  = "c"
  chart = "flux"
}
