# Flux v1 runs as a Deployment: where it does not, there is nothing to hand over,
# and it is said.
variable "on" {}
resource "kubernetes_daemonset" "flux" {
  metadata {
    name      = "flux"
    namespace = "flux"
  }
  spec {
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
          image = "fluxcd/flux:1.25.4"
          args  = ["--git-url=git@github.com:example/shop"]
        }
      }
    }
  }
}
resource "kubernetes_daemon_set_v1" "flux" {
  count = var.on ? 1 : 0
  metadata {
    name = "flux"
  }
  spec {
    template {
      metadata { labels = { app = "flux" } }
      spec {
        container {
          name  = "flux"
          image = "fluxcd/flux:1.25.4"
          args  = ["--git-url=git@github.com:example/shop"]
        }
      }
    }
  }
}
resource "kubernetes_manifest" "flux" {
  manifest = {
    apiVersion = "apps/v1"
    kind       = "DaemonSet"
    metadata   = { name = "flux-m", namespace = "flux" }
    spec       = { template = { spec = { containers = [{ name = "flux", image = "fluxcd/flux:1.25.4", args = ["--git-url=git@github.com:example/shop"] }] } } }
  }
}
