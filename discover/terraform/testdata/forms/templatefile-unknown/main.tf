variable "url" { type = string }
variable "host" { type = string }
variable "account" { type = string }
variable "paths" { type = list(string) }
data "aws_region" "current" {}
locals {
  url = "ssh://git@${var.host}/shop/deploy"
}
resource "helm_release" "leaf" {
  name  = "leaf"
  chart = "flux"
  values = [
    templatefile("${path.module}/leaf.tpl", { url = local.url, branch = "main", region = data.aws_region.current.name, paths = var.paths }),
  ]
}
resource "helm_release" "structure" {
  name  = "structure"
  chart = "flux"
  values = [
    templatefile("${path.module}/structure.tpl", { account = var.account }),
    "git:\n  branch: main\n",
  ]
}
resource "helm_release" "heredoc" {
  name  = "heredoc"
  chart = "flux"
  values = [<<-YAML
    git:
      url: ${var.url}
      branch: main
      path: ${join(",", ["a", var.host])}
    labels:
      ${indent(2, yamlencode({ team = "shop", host = var.host }))}
    rbac: ${var.account == "" ? "off" : "on"}
    YAML
  ]
}
resource "helm_release" "between_keys" {
  name  = "between"
  chart = "flux"
  values = [
    templatefile("between.tpl", { extra = var.url }),
    "rbac: {create: true}",
  ]
}
resource "helm_release" "whole" {
  name   = "whole"
  chart  = "flux"
  values = [var.url, yamlencode({ git = { url = var.url, branch = "main" } })]
}
resource "helm_release" "missing_file" {
  name   = "missing"
  chart  = "flux"
  values = [file("${path.module}/not-there.yaml"), templatefile("nor-this.tpl", {})]
}
resource "helm_release" "below_a_key" {
  name   = "below"
  chart  = "flux"
  values = [templatefile("below.tpl", { hosts = var.url, list = var.paths })]
}
