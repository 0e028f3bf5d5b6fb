resource "kubernetes_deployment" "flux" {
  lifecycle {
    ignore_changes = [spec[0].replicas, spec[0].template[0].spec[0].container[0].image, spec[0].template[0].spec[0].host_aliases]
  }
  metadata {
    name      = "flux"
    namespace = "flux"
  }
  spec {
    replicas = 1
    template {
      metadata { labels = { app = "flux" } }
      spec {
        container {
          name  = "flux"
          image = "docker.io/fluxcd/flux:1.25.4"
          args  = ["--git-url=git@github.com:example/shop", "--git-branch=main"]
        }
      }
    }
  }
}
resource "kubernetes_manifest" "flux" {
  computed_fields = ["metadata.labels", "spec.template.spec.containers[0].args"]
  manifest = {
    apiVersion = "apps/v1"
    kind       = "Deployment"
    metadata   = { name = "by-manifest", namespace = "flux" }
    spec = {
      template = {
        spec = {
          containers = [{ name = "flux", image = "docker.io/fluxcd/flux:1.25.4", args = ["--git-url=git@github.com:example/bank", "--git-branch=main"] }]
        }
      }
    }
  }
}
resource "kubectl_manifest" "flux" {
  ignore_fields = ["metadata.annotations"]
  yaml_body     = <<-EOT
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: by-kubectl, namespace: flux}
    spec:
      template:
        spec:
          containers:
          - name: flux
            image: docker.io/fluxcd/flux:1.25.4
            args: ["--git-url=git@github.com:example/post", "--git-branch=main"]
  EOT
}
