variable "teams" {
  default = [
    { name = "shop", flux = true, envs = ["dev", "prod"] },
    { name = "bank", flux = false, envs = ["dev"] },
    { name = "post", flux = true, envs = ["prod"] },
  ]
}
locals {
  pairs = flatten([for t in var.teams : [for e in t.envs : { team = t.name, env = e }] if t.flux])
}
resource "helm_release" "flux" {
  for_each = { for p in local.pairs : "${p.team}-${p.env}" => p }
  name     = "flux-${each.key}"
  chart    = "flux"
  set {
    name  = "git.path"
    value = "${each.value.team}/${each.value.env}"
  }
}
resource "helm_release" "by_name" {
  for_each = toset([for t in var.teams : t.name if t.flux])
  name     = "flux-${each.value}"
  chart    = "flux"
}
resource "helm_release" "grid" {
  for_each = { for p in setproduct(["a", "b"], ["x"]) : join("/", p) => p }
  name     = join("-", each.value)
  chart    = "flux"
}
