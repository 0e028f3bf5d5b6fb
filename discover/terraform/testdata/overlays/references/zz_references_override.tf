# What is left of its values without the resources that are left out.
resource "helm_release" "flux" {
  set {
    name  = "git.label"
    value = kubernetes_namespace.flux.metadata[0].labels.team
  }
  set {
    name  = "uid"
    value = kubernetes_namespace.flux.metadata.0.uid
  }
  set {
    name  = "when"
    value = timestamp()
  }
}
