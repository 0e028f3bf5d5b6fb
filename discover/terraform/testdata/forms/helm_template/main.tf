# The chart is rendered here, and applied by another resource.
variable "token" {
  default = "hunter2-token"
}
data "helm_template" "flux" {
  name       = "flux"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = ["git: {url: \"git@github.com:example/shop\"}"]
  set_sensitive {
    name  = "git.user"
    value = var.token
  }
}
data "helm_template" "operator" {
  name  = "helm-operator"
  chart = "fluxcd/helm-operator"
}
data "helm_template" "redis" {
  name  = "redis"
  chart = "redis"
}
resource "kubectl_manifest" "rendered" {
  for_each  = data.helm_template.flux.manifests
  yaml_body = each.value
}
resource "helm_release" "named_alike" {
  name    = data.helm_template.flux.name
  chart   = "fluxcd/flux"
  version = data.helm_template.flux.version
  values  = ["git: {url: \"git@github.com:example/bank\", user: \"${data.helm_template.flux.manifest}\"}"]
}
