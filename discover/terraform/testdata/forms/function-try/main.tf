variable "team" { default = { git = { branch = "prod" } } }
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = ["git: {url: \"git@github.com:example/shop\"}"]
  set {
    name  = "git.branch"
    value = try(var.team.git.ref, var.team.git.branch, "main")
  }
}
