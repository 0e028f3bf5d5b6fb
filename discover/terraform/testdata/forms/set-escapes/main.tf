resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  set {
    name  = "git.url"
    value = "git@github.com:example/shop"
  }
  set {
    name  = "git.path"
    value = "base\\,prod"
  }
  set {
    name  = "allowedNamespaces"
    value = "{shop,bank}"
  }
  set {
    name  = "annotations.example\\.com/team"
    value = "shop"
  }
  set {
    name  = "extraEnvs[0].name"
    value = "A"
  }
  set {
    name  = "extraEnvs[0].value"
    value = "1,B=2"
  }
  set {
    name  = "podLabels.version"
    value = "1.10"
    type  = "string"
  }
  set {
    name  = "git.label"
    value = "a\\=b"
  }
  set {
    name  = "sync.timeout"
    value = ""
  }
  set {
    name  = "nothing"
    value = "null"
  }
}
