variable "account" {}
variable "region" {}
variable "extra" {}
variable "place" {}
variable "token" {}
variable "branch" {}
variable "root" {}
variable "namespace" {}
variable "chart_version" {}
variable "overridden" {}
variable "from_env" {}
variable "settings" { type = any }
resource "helm_release" "flux" {
  name      = "flux-${var.account}-${var.region}-${var.extra}"
  namespace = var.namespace
  chart     = "fluxcd/flux"
  version   = var.chart_version
  values = [yamlencode({ git = var.settings.git, ssh = { known_hosts = join("\n", var.settings.hosts) } }), yamlencode({
    git = {
      url    = "git@github.com:example/${var.overridden}"
      branch = var.branch
      path   = var.place
      user   = var.token
      email  = "${var.root}@${var.from_env}"
    }
  })]
}
