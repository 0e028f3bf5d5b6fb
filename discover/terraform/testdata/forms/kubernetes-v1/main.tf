# An agent of the resources that the provider names by their version.
variable "token" {
  default = "hunter2-token"
}
resource "kubernetes_namespace_v1" "flux" {
  metadata {
    name = "flux"
  }
}
resource "kubernetes_service_account_v1" "flux" {
  metadata {
    name      = "flux"
    namespace = kubernetes_namespace_v1.flux.id
  }
}
resource "kubernetes_cluster_role_v1" "flux" {
  metadata {
    name = "flux"
  }
  rule {
    api_groups = ["*"]
    resources  = ["*"]
    verbs      = ["*"]
  }
}
resource "kubernetes_cluster_role_binding_v1" "flux" {
  metadata {
    name = kubernetes_cluster_role_v1.flux.id
  }
  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "ClusterRole"
    name      = kubernetes_cluster_role_v1.flux.id
  }
  subject {
    kind      = "ServiceAccount"
    name      = "flux"
    namespace = kubernetes_namespace_v1.flux.metadata[0].name
  }
}
resource "kubernetes_secret_v1" "key" {
  metadata {
    name      = "flux-key"
    namespace = kubernetes_namespace_v1.flux.metadata.0.name
  }
  data = {
    identity = var.token
  }
}
resource "kubernetes_deployment_v1" "flux" {
  metadata {
    name      = "flux"
    namespace = kubernetes_namespace_v1.flux.id
  }
  spec {
    template {
      spec {
        service_account_name = kubernetes_service_account_v1.flux.metadata[0].name
        volume {
          name = "key"
          secret {
            secret_name = kubernetes_secret_v1.key.metadata[0].name
          }
        }
        container {
          name  = "flux"
          image = "fluxcd/flux:1.25.4"
          args  = ["--git-url=git@github.com:example/shop", "--git-label=${kubernetes_secret_v1.key.data.identity}", "--git-branch=${kubernetes_secret_v1.key.metadata[0].uid}"]
          volume_mount {
            name       = "key"
            mount_path = "/etc/fluxd/ssh"
          }
        }
      }
    }
  }
}
