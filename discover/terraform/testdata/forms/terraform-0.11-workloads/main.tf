# An agent as Terraform 0.11 could declare it.
variable "deploy" {
  default = true
}
variable "paths" {
  type    = "list"
  default = ["apps", "infra/base"]
}
resource "kubernetes_service_account" "flux" {
  count = "${var.deploy}"
  metadata {
    name      = "flux"
    namespace = "flux"
    labels {
      app.kubernetes.io = "flux"
      name              = "flux"
    }
  }
}
resource "kubernetes_deployment" "flux" {
  count = "${var.deploy}"
  metadata {
    name      = "flux"
    namespace = "flux"
  }
  spec {
    template {
      metadata {
        annotations {
          prometheus.io.port = "3031"
        }
      }
      spec {
        service_account_name = "${kubernetes_service_account.flux.metadata.0.name}"
        container {
          name  = "flux"
          image = "quay.io/weaveworks/flux:1.12.0"
          args  = ["--git-branch=master", "${concat(list("--git-url=git@github.com:example/shop"), formatlist("--git-path=%s", var.paths))}"]
        }
      }
    }
  }
}
