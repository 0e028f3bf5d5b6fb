locals {
  teams = [
    { name = "shop", url = "git@github.com:example/shop", paths = ["base", "prod"], fast = true },
    { name = "bank", url = "git@github.com:example/bank", paths = ["prod"], fast = false },
  ]
  urls   = { for t in local.teams : t.name => t.url }
  names  = local.teams[*].name
  prefix = local.teams[0].paths[0] == "base" ? "clusters/" : ""
}
resource "helm_release" "flux" {
  count      = length(local.names)
  name       = local.names[count.index]
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values = [<<-EOT
    git:
      url: ${local.urls[local.names[count.index]]}
      path: ${join(",", [for p in local.teams[count.index].paths : "${local.prefix}${p}" if p != "none"])}
      pollInterval: ${local.teams[count.index].fast ? "1m" : "5m"}
    EOT
  ]
}
