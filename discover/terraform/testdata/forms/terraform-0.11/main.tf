variable "enabled" {
  default = "true"
}
variable "url" {
  type    = "string"
  default = "git@example.com:shop/deploy"
}
variable "names" {
  type    = "list"
  default = ["shop", "bank"]
}
variable "tags" {
  type = "map"
  default = {
    team = "shop"
  }
}
variable "one_line" { type = "string" default = "joined" }
data "helm_repository" "weaveworks" {
  name = "weaveworks"
  url  = "https://weaveworks.github.io/flux"
}
resource "kubernetes_namespace" "flux" {
  count = "${var.enabled ? 1 : 0}"
  metadata {
    name = "flux"
    labels {
      "example.com/managed-by" = "Terraform"
      team = "${lookup(var.tags, "team")}"
    }
    annotations {
      example.com.kept-by = "Terraform"
    }
  }
}
resource "helm_release" "flux" {
  count      = "${length(var.names)}"
  name       = "flux-${element(var.names, count.index)}"
  repository = "${data.helm_repository.weaveworks.metadata.0.name}"
  chart      = "flux"
  namespace  = "${element(kubernetes_namespace.flux.*.metadata.0.name, 0)}"
  values = [
    "${file("${path.module}/flux.yaml")}",
  ]
  set {
    name  = "git.url"
    value = "${var.url}"
  }
  set {
    name  = "git.label"
    value = "${var.one_line}"
  }
  depends_on = ["kubernetes_namespace.flux"]
}
resource "helm_release" "list" {
  name      = "list"
  namespace = "${kubernetes_namespace.flux.metadata.0.name}"
  chart     = "weaveworks/flux"
  values    = ["${list("a: 1", "b: 2")}"]
}
output "first" { value = "${helm_release.flux.0.name}" }
output "map" { value = "${map("a", "b")}" }
