variable "token" {
  type      = string
  sensitive = true
  default   = "hunter2-token"
}
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values = [<<-YAML
    git:
      url: from-values
      branch: main
    list: [1, 2, 3]
    replaced: {a: {b: 1}}
    YAML
  ]
  set {
    name  = "git.url"
    value = "git@github.com:example/shop"
  }
  set {
    name  = "list[1]"
    value = 20
  }
  set {
    name  = "replicaCount"
    value = 1
  }
  set {
    name  = "replaced.a"
    value = "text"
  }
  set {
    name  = "rbac.create"
    value = false
  }
  set {
    name  = "big"
    value = 12345678901234567890
  }
  set {
    name  = "several.one"
    value = "1,several.two=2"
  }
  set_sensitive {
    name  = "token"
    value = var.token
  }
  set_sensitive {
    name  = "nested.password"
    value = "hunter2-literal"
  }
}
