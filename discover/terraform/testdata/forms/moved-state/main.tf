moved {
  from = helm_release.oldest
  to   = helm_release.old
}
moved {
  from = helm_release.old
  to   = helm_release.flux["a"]
}
moved {
  from = module.shop
  to   = module.team["shop"]
}
removed {
  from = helm_release.gone
  lifecycle {
    destroy = false
  }
}
resource "helm_release" "flux" {
  for_each   = { a = "git@github.com:example/a" }
  name       = "flux"
  namespace  = each.key
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = each.value } })]
}
module "team" {
  source   = "./m"
  for_each = toset(["shop"])
  name     = each.key
}
