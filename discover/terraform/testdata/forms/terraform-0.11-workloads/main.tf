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
        volume = [
          {
            name = "git-key"
            secret = {
              secret_name = "deploy"
            }
          },
        ]
        container {
          name  = "flux"
          image = "quay.io/weaveworks/flux:1.12.0"
          args  = ["--git-branch=master", "${concat(list("--git-url=git@github.com:example/shop"), formatlist("--git-path=%s", var.paths))}"]
          env = [
            {
              name  = "A"
              value = "b"
            },
          ]
          volume_mount = [
            {
              name       = "git-key"
              mount_path = "/etc/fluxd/ssh"
            },
          ]
        }
      }
    }
  }
}
resource "kubernetes_cluster_role" "flux" {
  metadata = {
    name = "flux"
  }
  rule = [
    {
      api_groups = ["*"]
      resources  = ["*"]
      verbs      = ["*"]
    },
    {
      non_resource_urls = ["*"]
      verbs             = ["*"]
    },
  ]
}
resource "kubernetes_cluster_role_binding" "flux" {
  metadata {
    name = "flux"
  }
  role_ref = {
    api_group = "rbac.authorization.k8s.io"
    kind      = "ClusterRole"
    name      = "${kubernetes_cluster_role.flux.metadata.0.name}"
  }
  subject = [
    {
      kind      = "ServiceAccount"
      name      = "flux"
      namespace = "flux"
    },
  ]
}
