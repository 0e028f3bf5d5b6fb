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
      metadata { labels = { app = "flux" } }
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
resource "kubernetes_pod" "flux" {
  metadata { name = "in-a-pod" }
  spec {
    container {
      name  = "flux"
      image = "fluxcd/flux:1.25.4"
      args  = ["--git-url=git@github.com:example/pod"]
    }
  }
}
resource "kubernetes_pod_v1" "web" {
  metadata { name = "web" }
  spec {
    container {
      name  = "web"
      image = "nginx:1"
    }
  }
}
resource "kubernetes_replication_controller" "flux" {
  metadata { name = "kept" }
  spec {
    selector = { name = "flux" }
    template {
      metadata { labels = { name = "flux" } }
      spec {
        container {
          name  = "flux"
          image = "fluxcd/flux:1.25.4"
        }
      }
    }
  }
}
resource "kubernetes_replication_controller_v1" "web" {
  metadata { name = "web" }
  spec {
    selector = { name = "web" }
    template {
      metadata { labels = { name = "web" } }
      spec {
        container {
          name  = "web"
          image = "nginx:1"
        }
      }
    }
  }
}
resource "kubernetes_job" "web" {
  metadata { name = "web" }
  spec {
    template {
      metadata {}
      spec {
        container {
          name  = "web"
          image = "nginx:1"
        }
      }
    }
  }
}
resource "kubernetes_job_v1" "flux" {
  metadata { name = "once" }
  spec {
    template {
      metadata {}
      spec {
        container {
          name  = "fluxd"
          image = "fluxcd/flux:1.25.4"
        }
      }
    }
  }
}
resource "kubernetes_cron_job" "web" {
  metadata { name = "web" }
  spec {
    schedule = "@daily"
    job_template {
      metadata {}
      spec {
        template {
          metadata {}
          spec {
            container {
              name  = "web"
              image = "nginx:1"
            }
          }
        }
      }
    }
  }
}
resource "kubernetes_cron_job_v1" "flux" {
  metadata { name = "now-and-then" }
  spec {
    schedule = "@daily"
    job_template {
      metadata {}
      spec {
        template {
          metadata {}
          spec {
            container {
              name  = "flux"
              image = "fluxcd/flux:1.25.4"
              args  = ["--git-url=git@github.com:example/cron"]
            }
          }
        }
      }
    }
  }
}
