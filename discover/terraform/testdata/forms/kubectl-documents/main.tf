# What fluxctl install printed, kept in files and applied by kubectl_manifest.
data "kubectl_path_documents" "flux" {
  pattern = "${path.module}/manifests/*.yaml"
  vars = {
    url = "git@github.com:example/shop"
  }
}
data "local_file" "bank" {
  filename = "${path.module}/bank.txt"
}
data "kubectl_file_documents" "bank" {
  content = data.local_file.bank.content
}
variable "unknown" {}
data "kubectl_path_documents" "unknown" {
  pattern = "manifests/*.yaml"
  vars = {
    url = var.unknown
  }
}
data "kubectl_path_documents" "verbatim" {
  pattern          = "verbatim/*.yaml"
  disable_template = true
}
data "kubectl_path_documents" "secret" {
  pattern = "secret/*.yaml"
  vars = {
    namespace = "flux"
  }
  sensitive_vars = {
    token = "hunter2-token"
  }
}
resource "kubectl_manifest" "by_key" {
  for_each  = data.kubectl_path_documents.flux.manifests
  yaml_body = each.value
}
resource "kubectl_manifest" "by_index" {
  count     = length(data.kubectl_file_documents.bank.documents)
  yaml_body = element(data.kubectl_file_documents.bank.documents, count.index)
}
resource "kubectl_manifest" "flux_unknown" {
  for_each  = toset(data.kubectl_path_documents.unknown.documents)
  yaml_body = each.value
}
resource "kubectl_manifest" "verbatim" {
  for_each  = data.kubectl_path_documents.verbatim.manifests
  yaml_body = each.value
}
resource "kubectl_manifest" "flux_secret" {
  count     = length(data.kubectl_path_documents.secret.documents)
  yaml_body = data.kubectl_path_documents.secret.documents[count.index]
}
data "local_sensitive_file" "token" {
  filename = "token.txt"
}
resource "helm_release" "flux" {
  name    = "flux"
  chart   = "fluxcd/flux"
  version = "1.13.3"
  values  = ["git: {url: \"git@github.com:example/helm\", user: \"${data.local_sensitive_file.token.content}\"}"]
}
