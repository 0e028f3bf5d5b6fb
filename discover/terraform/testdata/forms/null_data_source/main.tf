variable "branch" {}
data "null_data_source" "git" {
  inputs = {
    url    = "git@github.com:example/shop"
    branch = var.branch
  }
}
resource "helm_release" "flux" {
  name    = "flux"
  chart   = "fluxcd/flux"
  version = "1.13.3"
  set {
    name  = "git.url"
    value = data.null_data_source.git.outputs["url"]
  }
  set {
    name  = "git.branch"
    value = data.null_data_source.git.outputs.branch
  }
}
resource "helm_release" "random" {
  name    = "random"
  chart   = "fluxcd/flux"
  version = "1.13.3"
  set {
    name  = "git.url"
    value = data.null_data_source.git.outputs.url
  }
  set {
    name  = "git.label"
    value = data.null_data_source.git.random
  }
}
