# shown.json is what "terraform show -json" printed, with this chart and repository, before an agent, gone, was taken out.
locals {
  teams = {
    shop = "git@github.com:example/shop"
    bank = "git@github.com:example/bank"
  }
}
resource "helm_release" "flux" {
  for_each   = local.teams
  name       = each.key
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = each.value, branch = "prod" } })]
}
