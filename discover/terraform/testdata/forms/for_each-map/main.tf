locals {
  teams = {
    shop = { url = "git@example.com:shop/deploy", paths = ["base", "prod"], gc = true }
    bank = { url = "git@example.com:bank/deploy", paths = [], gc = false }
  }
}
resource "helm_release" "flux" {
  for_each   = local.teams
  name       = "flux-${each.key}"
  namespace  = each.key
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values = [yamlencode({
    git                   = { url = each.value.url, path = join(",", each.value.paths) }
    syncGarbageCollection = { enabled = each.value.gc }
  })]
  create_namespace = true
}
output "namespaces" { value = { for k, r in helm_release.flux : k => r.namespace } }
