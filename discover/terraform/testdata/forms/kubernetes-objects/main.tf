variable "url" { type = string }
variable "args" { default = ["--git-poll-interval=1m"] }
resource "kubernetes_deployment" "flux" {
  metadata {
    name      = "flux"
    namespace = "flux"
  }
  spec {
    replicas = 1
    selector {
      match_labels = { app = "flux" }
    }
    template {
      metadata {
        labels = { app = "flux" }
      }
      spec {
        container {
          name  = "flux"
          image = "docker.io/fluxcd/flux:1.25.4"
          args = concat([
            "--git-url=${var.url}",
            "--git-branch=main",
          ], var.args)
          env {
            name  = "A"
            value = "b"
          }
          env {
            name = "GIT_AUTHKEY"
            value_from {
              secret_key_ref {
                name = "git"
                key  = "token"
              }
            }
          }
        }
      }
    }
  }
}
resource "kubernetes_deployment_v1" "memcached" {
  metadata { name = "memcached" }
  spec {
    template {
      metadata { labels = { app = "flux" } }
      spec {
        container {
          name  = "memcached"
          image = "memcached:1.6"
        }
      }
    }
  }
}
resource "kubernetes_manifest" "flux" {
  manifest = {
    apiVersion = "apps/v1"
    kind       = "Deployment"
    metadata   = { name = "flux-m", namespace = "flux" }
    spec = { template = { spec = { containers = [{ name = "flux", image = "fluxcd/flux:1.24.0", args = ["--git-url=${var.url}", "--git-path=prod"] }] } } }
  }
}
resource "kubectl_manifest" "flux" {
  for_each  = { x = "prod" }
  yaml_body = <<-YAML
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: flux-k
      namespace: flux
    spec:
      template:
        spec:
          containers:
            - name: flux
              image: fluxcd/flux:1.25.4
              args: ["--git-url=${var.url}", "--git-path=${each.value}"]
              env:
                - name: KEY
                  valueFrom: {secretKeyRef: {name: s, key: k}}
    YAML
}
resource "kubectl_manifest" "file" {
  yaml_body = file("manifest.yaml")
}
resource "kubectl_manifest" "overridden" {
  override_namespace = "apps"
  yaml_body          = <<-YAML
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: flux-o, namespace: flux}
    spec:
      template:
        spec:
          containers:
            - name: flux
              image: fluxcd/flux:1.25.4
              args: ["--git-url=${var.url}"]
    YAML
}
