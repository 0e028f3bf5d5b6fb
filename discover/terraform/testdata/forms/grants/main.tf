# What the accounts of agents may do, by what is declared beside them.
variable "unknown" {}

resource "helm_release" "shop" {
  name       = "shop"
  namespace  = "shop"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = "git@github.com:example/shop" }, clusterRole = { create = false }, allowedNamespaces = ["shop"] })]
}
resource "helm_release" "bank" {
  name       = "bank"
  namespace  = "bank"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = "git@github.com:example/bank" }, clusterRole = { create = false }, allowedNamespaces = ["bank"] })]
}
resource "helm_release" "post" {
  name       = "post"
  namespace  = "post"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = "git@github.com:example/post" }, clusterRole = { create = false }, allowedNamespaces = ["post"] })]
}

# A chart that makes whatever it is given.
resource "helm_release" "raw" {
  name       = "rbac"
  namespace  = "shop"
  repository = "https://charts.itscontained.io"
  chart      = "raw"
  version    = "0.2.5"
  values = [yamlencode({ resources = [{
    apiVersion = "rbac.authorization.k8s.io/v1"
    kind       = "ClusterRoleBinding"
    metadata   = { name = "shop" }
    roleRef    = { apiGroup = "rbac.authorization.k8s.io", kind = "ClusterRole", name = "cluster-admin" }
    subjects   = [{ kind = "ServiceAccount", name = "shop-flux", namespace = "shop" }]
  }] })]
}

# A script, of what kubectl is told.
resource "null_resource" "bank" {
  provisioner "local-exec" {
    command = "kubectl create clusterrolebinding bank --clusterrole=cluster-admin --serviceaccount=bank:bank-flux"
  }
}

# A group of a directory is none of an account.
data "azuread_group" "admins" {
  display_name = "admins"
}
resource "kubernetes_cluster_role_binding" "admins" {
  metadata {
    name = "admins"
  }
  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "ClusterRole"
    name      = "cluster-admin"
  }
  subject {
    kind = "Group"
    name = data.azuread_group.admins.object_id
  }
}

# What the state tells and the configuration does not.
resource "kubernetes_role_binding" "post" {
  count = var.unknown
  metadata {
    name      = "post"
    namespace = "shop"
  }
  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "ClusterRole"
    name      = "cluster-admin"
  }
  subject {
    kind      = "ServiceAccount"
    name      = "post-flux"
    namespace = "post"
  }
}
