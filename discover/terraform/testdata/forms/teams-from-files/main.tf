locals {
  files = { for f in fileset("${path.module}/teams", "**/*.yaml") : trimsuffix(basename(f), ".yaml") => yamldecode(file("${path.module}/teams/${f}")) }
  flux  = { for k, t in local.files : k => t if try(t.flux.enabled, true) }
  defaults = {
    git  = { branch = "main", pollInterval = "5m" }
    sync = { interval = "10m" }
  }
}
variable "cluster" { type = string }
resource "helm_release" "flux" {
  for_each = local.flux
  name     = "flux-${each.key}"
  chart    = "flux"
  version  = try(each.value.flux.version, "1.13.3")
  values = [
    yamlencode(local.defaults),
    yamlencode(merge(try(each.value.values, {}), { cluster = var.cluster, label = "${var.cluster}-${each.key}" })),
    jsonencode({ git = { url = each.value.repo, path = join(",", [for p in try(each.value.paths, []) : "clusters/${var.cluster}/${p}"]) } }),
  ]
}
