variable "name" {}

variable "team" {
  type = any
}

locals {
  interval = lookup(var.team, "interval", "none")
}

resource "terraform_data" "release" {
  input = {
    name   = "flux-${var.name}"
    values = yamlencode({ git = { url = var.team.url, path = join("\\,", var.team.paths) }, syncGarbageCollection = { enabled = coalesce(var.team.prune, false) } })
  }
}

output "summary" {
  value = "${terraform_data.release.input.name} every ${local.interval} in ${path.module}"
}
