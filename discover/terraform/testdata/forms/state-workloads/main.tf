# What the variables were is told by the state alone.
variable "shop" {}
variable "bank" {}
variable "desk" {}
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
        service_account_name = "flux"
        container {
          name  = "flux"
          image = "docker.io/fluxcd/flux:1.25.4"
          args  = ["--git-url=${var.shop}", "--git-branch=main"]
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
    spec = {
      selector = { matchLabels = { app = "flux-m" } }
      template = {
        metadata = { labels = { app = "flux-m" } }
        spec = {
          serviceAccountName = "flux"
          containers         = [{ name = "flux", image = "docker.io/fluxcd/flux:1.25.4", args = ["--git-url=${var.bank}", "--git-branch=main"] }]
        }
      }
    }
  }
}
resource "kubectl_manifest" "flux" {
  yaml_body = <<-YAML
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: flux-k, namespace: flux}
    spec:
      selector: {matchLabels: {app: flux-k}}
      template:
        metadata: {labels: {app: flux-k}}
        spec:
          serviceAccountName: flux
          containers: [{name: flux, image: 'docker.io/fluxcd/flux:1.25.4', args: ['--git-url=${var.desk}', '--git-branch=main']}]
    YAML
}
