resource "kubernetes_namespace" "flux" {
  metadata {
    name = "flux"
    labels = { team = "shop" }
  }
}
resource "random_id" "suffix" { byte_length = 2 }
data "terraform_remote_state" "cluster" {
  backend = "s3"
  config  = { key = "cluster" }
}
resource "aws_iam_role" "flux" {
  count = 1
  name  = "flux"
}
resource "helm_release" "flux" {
  name      = "flux"
  chart     = "flux"
  namespace = kubernetes_namespace.flux.id
  set {
    name  = "git.label"
    value = kubernetes_namespace.flux.metadata[0].labels.team
  }
  set {
    name  = "git.url"
    value = data.terraform_remote_state.cluster.outputs.git_url
  }
  set {
    name  = "suffix"
    value = "x-${random_id.suffix.hex}"
  }
  set {
    name  = "role"
    value = aws_iam_role.flux[0].arn
  }
  set {
    name  = "uid"
    value = kubernetes_namespace.flux.metadata.0.uid
  }
  set {
    name  = "when"
    value = timestamp()
  }
  set {
    name  = "by"
    value = provider::example::shout("x")
  }
}
locals {
  whole = kubernetes_namespace.flux
}
output "whole" { value = local.whole.metadata[0].name }
output "try_computed" { value = try(aws_iam_role.flux[0].arn, "none") }
output "try_error" { value = try(local.missing_map.x, "fallback") }
output "can" { value = can(local.whole.metadata[0].name) }
output "undeclared" { value = var.nope }
