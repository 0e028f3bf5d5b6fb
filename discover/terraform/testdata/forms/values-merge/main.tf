locals {
  first = <<VALUES
git:
  url: ${var.url}
  branch: main
helmOperator:
  create: true
list: [1, 2]
VALUES
}
variable "url" { default = "git@example.com:shop/deploy" }
variable "flux" {
  default = {
    extra_values = <<VALUES
helmOperator:
  create: false
list: [3]
gone: null
VALUES
    off = ""
  }
}
resource "helm_release" "flux" {
  name   = "flux"
  chart  = "flux"
  values = concat([local.first], [var.flux["extra_values"]], [var.flux.off], null == null ? [] : ["x: 1"])
}
resource "helm_release" "compact" {
  name   = "compact"
  chart  = "flux"
  values = compact([local.first, "", var.flux.off])
}
resource "helm_release" "loop" {
  name   = "loop"
  chart  = "flux"
  values = [for f in sort(fileset(path.module, "values/*.yaml")) : file("${path.module}/${f}")]
}
