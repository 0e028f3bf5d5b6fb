variable "teams" {
  default = {
    shop = { environments = ["dev", "prod"] }
    bank = { environments = ["prod"] }
  }
}
locals {
  agents = merge([for team, t in var.teams : { for e in t.environments : "${team}-${e}" => { team = team, environment = e } }]...)
}
resource "helm_release" "flux" {
  for_each   = local.agents
  name       = "flux-${each.key}"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  set {
    name  = "git.url"
    value = "git@github.com:example/${each.value.team}"
  }
  set {
    name  = "git.path"
    value = each.value.environment
  }
}
