variable "token" {
  type      = string
  sensitive = true
}
variable "user" { default = "flux" }
locals {
  url    = "https://${var.user}:${var.token}@example.com/shop"
  config = { url = local.url, branch = "main" }
}
module "m" {
  source = "./m"
  url    = local.url
}
resource "helm_release" "flux" {
  name  = "flux"
  chart = "flux"
  values = [
    yamlencode({ git = local.config }),
    templatefile("t.tpl", { url = local.url, token = var.token }),
  ]
  set {
    name  = "env.token"
    value = var.token
  }
  set {
    name  = "by_number"
    value = tonumber(var.token)
  }
}
provider "helm" {
  kubernetes {
    host  = "https://example.com"
    token = "hunter2-provider"
  }
}
resource "kubernetes_secret" "git" {
  metadata { name = "git" }
  data = { identity = "hunter2-data" }
}
resource "kubectl_manifest" "secret" {
  yaml_body = "kind: Secret\nmetadata: {name: s}\nstringData: {k: hunter2-manifest}\n"
}
resource "kubernetes_manifest" "secret" {
  manifest = { kind = "Secret", metadata = { name = "m" }, data = { k = "hunter2-manifest" } }
}
resource "helm_release" "secret_count" {
  count = length(var.token)
  name  = "x"
  chart = "flux"
}
resource "helm_release" "secret_each" {
  for_each = toset([var.token])
  name     = each.key
  chart    = "flux"
}
output "url" {
  value     = local.url
  sensitive = true
}
output "length" { value = length(var.token) }
output "revealed" { value = nonsensitive("public") }
output "error" { value = tonumber(var.token) }
output "index" { value = local.config[var.token] }
output "parse" { value = jsondecode(var.token) }
output "tf" { value = templatefile("t2.tpl", { token = var.token }) }
resource "kubectl_manifest" "hidden" { yaml_body = var.token }
