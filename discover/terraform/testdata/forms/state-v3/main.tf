# What the variable was is told by the state alone, which Terraform 0.11 wrote.
variable "url" {}
resource "helm_release" "flux" {
  name      = "flux"
  namespace = "flux"
  chart     = "weaveworks/flux"
  version   = "0.16.0"
  values    = ["git: {url: \"${var.url}\", path: \"a,b\"}"]
}
