# Only the image, or the port, tells that these are fluxd: a script gives them their arguments, or may do so.
resource "kubernetes_deployment" "shell" {
  metadata {
    name      = "gitsync"
    namespace = "tools"
  }
  spec {
    selector {
      match_labels = { app = "gitsync" }
    }
    template {
      metadata {
        labels = { app = "gitsync" }
      }
      spec {
        container {
          name    = "sync"
          image   = "docker.io/fluxcd/flux:1.25.4"
          command = ["/bin/sh", "-c", "exec fluxd --git-url=git@github.com:example/shop"]
        }
      }
    }
  }
}
resource "kubernetes_deployment" "port" {
  metadata {
    name      = "gitport"
    namespace = "tools"
  }
  spec {
    selector {
      match_labels = { app = "gitport" }
    }
    template {
      metadata {
        labels = { app = "gitport" }
      }
      spec {
        container {
          name    = "flux"
          image   = "registry.example.com/gitops/weave:1"
          command = ["/entry.sh"]
          port {
            container_port = 3030
          }
        }
      }
    }
  }
}
resource "kubernetes_deployment" "ctl" {
  metadata {
    name      = "ctl"
    namespace = "tools"
  }
  spec {
    selector {
      match_labels = { app = "ctl" }
    }
    template {
      metadata {
        labels = { app = "ctl" }
      }
      spec {
        container {
          name    = "sync"
          image   = "fluxcd/flux:1.25.4"
          command = ["sh", "-c", "while true; do fluxctl sync; sleep 60; done"]
        }
      }
    }
  }
}
resource "kubectl_manifest" "rollout" {
  yaml_body = <<EOT
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: gitrollout, namespace: tools}
spec:
  selector: {matchLabels: {app: gitrollout}}
  template:
    metadata: {labels: {app: gitrollout}}
    spec:
      containers:
      - {name: sync, image: "registry.example.com/gitops/weave:1", args: ["--git-url=git@github.com:example/shop"]}
EOT
}
