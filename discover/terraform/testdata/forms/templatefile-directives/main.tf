variable "url" { default = "git@example.com:shop/deploy" }
variable "args" { default = ["--connect=ws://fluxcloud", "--git-gpg-key-import=/a,/b"] }
variable "monitoring" { default = true }
variable "account" { default = "" }
resource "helm_release" "flux" {
  name  = "flux"
  chart = "flux"
  values = [
    templatefile("${path.module}/flux.yaml.tpl", {
      url        = var.url
      args       = var.args
      monitoring = var.monitoring
      account    = var.account
      regions    = ["eu-west-1", "eu-north-1"]
    }),
    file("${path.module}/extra.yaml"),
  ]
}
