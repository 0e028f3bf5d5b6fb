variable "url" { default = "git@example.com:shop/deploy" }
variable "label" { type = string }
data "template_file" "flux" {
  template = file("${path.module}/flux.yaml")
  vars = {
    url   = var.url
    label = var.label
    args  = ""
  }
}
data "template_file" "each" {
  count    = 2
  template = "git:\n  branch: env-$${n}\n"
  vars = {
    n = count.index
  }
}
resource "helm_release" "flux" {
  name   = "flux"
  chart  = "flux"
  values = [data.template_file.flux.rendered, data.template_file.each[1].rendered]
}
