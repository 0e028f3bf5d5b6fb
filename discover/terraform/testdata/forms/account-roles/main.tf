variable "annotations" { type = map(string) }
resource "helm_release" "flux" {
  name       = "flux"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values = [yamlencode({
    git            = { url = "git@github.com:example/shop" }
    annotations    = merge({ "iam.amazonaws.com/role" = "flux" }, var.annotations)
    serviceAccount = { create = false, name = "shop" }
  })]
}
resource "kubernetes_service_account_v1" "shop" {
  metadata {
    name        = "shop"
    namespace   = "flux"
    annotations = merge({ team = "shop" }, var.annotations)
  }
}
resource "kubernetes_deployment" "bank" {
  metadata {
    name      = "bank"
    namespace = "bank"
  }
  spec {
    template {
      metadata { labels = { app = "flux" } }
      spec {
        container {
          name  = "flux"
          image = "docker.io/fluxcd/flux:1.25.4"
          args  = ["--git-url=git@github.com:example/bank"]
        }
      }
    }
  }
}
resource "kubernetes_default_service_account" "bank" {
  metadata {
    namespace   = "bank"
    annotations = { "eks.amazonaws.com/role-arn" = "arn:aws:iam::123456789012:role/bank" }
  }
}
resource "kubernetes_default_service_account_v1" "other" {
  metadata {
    namespace   = "other"
    annotations = { "eks.amazonaws.com/role-arn" = "arn:aws:iam::123456789012:role/other" }
  }
}
resource "kubernetes_service_account" "other" {
  metadata {
    name      = "other"
    namespace = "bank"
  }
}
resource "kubernetes_annotations" "bank" {
  api_version = "v1"
  kind        = "ServiceAccount"
  metadata {
    name      = "default"
    namespace = "bank"
  }
  annotations = { "iam.gke.io/gcp-service-account" = "bank@example.iam.gserviceaccount.com" }
}
resource "kubernetes_cluster_role" "bank" {
  metadata {
    name = "bank"
  }
  aggregation_rule {
    cluster_role_selectors {
      match_labels = { "example.com/bank" = "true" }
    }
  }
}
resource "kubernetes_cluster_role_binding" "bank" {
  metadata {
    name = "bank"
  }
  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "ClusterRole"
    name      = kubernetes_cluster_role.bank.metadata[0].name
  }
  subject {
    kind      = "ServiceAccount"
    name      = "default"
    namespace = "bank"
  }
}
