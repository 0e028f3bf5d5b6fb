variable "url" {
  type    = string
  default = "git@example.com:team/default"
}
variable "branch" { type = string }
variable "interval" { default = "5m" }
variable "labels" {
  type    = map(string)
  default = { team = "shop" }
}
variable "settings" {
  type = object({
    path  = string
    prune = optional(bool, true)
    extra = optional(list(string), [])
  })
}
variable "from_env" { type = list(string) }
variable "never_set" { type = string }
variable "nullable" {
  type     = string
  default  = "kept"
  nullable = false
}
locals {
  team = lookup(var.labels, "team", "none")
  host = "${local.team}.example.com"
}
output "all" {
  value = { url = var.url, branch = var.branch, interval = var.interval, labels = var.labels, settings = var.settings, env = var.from_env, host = local.host, nullable = var.nullable }
}
output "unknown" { value = "x-${var.never_set}" }
resource "helm_release" "inputs" {
  name      = "inputs"
  chart     = "flux"
  namespace = "flux"
  values = [yamlencode({
    git     = { url = var.url, branch = var.branch, pollInterval = var.interval, path = var.settings.path }
    team    = var.labels
    prune   = var.settings.prune
    extra   = var.settings.extra
    env     = var.from_env
    host    = local.host
    kept    = var.nullable
  })]
}
