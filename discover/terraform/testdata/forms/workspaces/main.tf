variable "branches" {
  default = { dev = "develop", prod = "main" }
}
resource "helm_release" "flux" {
  count     = terraform.workspace == "default" ? 0 : 1
  name      = "flux-${terraform.workspace}"
  namespace = "flux"
  chart     = "flux"
  version   = "1.13.3"
  values    = ["git: {url: \"git@github.com:example/shop\", branch: \"${lookup(var.branches, terraform.workspace, "none")}\"}"]
}
