# Flux v1 runs as a Deployment: where it does not, there is nothing to hand over,
# and it is said.
resource "kubernetes_stateful_set" "flux" {
  metadata {
    name      = "flux"
    namespace = "flux"
  }
  spec {
    service_name = "flux"
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
resource "kubernetes_stateful_set_v1" "flux" {
  metadata {
    name = "flux"
  }
  spec {
    service_name = "flux"
    selector { match_labels = { app = "flux" } }
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
resource "kubernetes_stateful_set_v1" "redis" {
  metadata {
    name = "redis"
  }
  spec {
    service_name = "redis"
    selector { match_labels = { app = "flux" } }
    template {
      metadata { labels = { app = "flux" } }
      spec {
        container {
          name  = "redis"
          image = "redis:7"
        }
      }
    }
  }
}
