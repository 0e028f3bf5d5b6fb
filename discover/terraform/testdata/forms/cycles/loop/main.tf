module "again" { source = "../loop" }
resource "helm_release" "deep" {
  name  = "deep"
  chart = "flux"
  count = 0
}
