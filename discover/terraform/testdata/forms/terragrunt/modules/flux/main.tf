variable "org" {}
variable "team" {}
variable "vpc" {}
variable "branch" { default = "master" }
variable "other" { default = "default" }
resource "helm_release" "flux" {
  name  = "flux"
  chart = "flux"
  set {
    name  = "git.url"
    value = "git@github.com:${var.org}/${var.team}"
  }
  set {
    name  = "git.branch"
    value = var.branch
  }
  set {
    name  = "vpc"
    value = var.vpc
  }
  set {
    name  = "other"
    value = var.other
  }
}
