variable "settings" {
  default = {
    git_url                = "git@example.com:shop/deploy"
    git_branch             = "main"
    syncGarbageCollection_enabled = true
  }
}
variable "more" {
  default = [{ key = "registry_disableScanning", value = "true" }]
}
variable "unknown" { type = map(string) }
resource "helm_release" "flux" {
  name  = "flux"
  chart = "flux"
  dynamic "set" {
    for_each = var.settings
    content {
      name  = replace(set.key, "_", ".")
      value = set.value
    }
  }
  dynamic "set" {
    for_each = var.more
    iterator = extra
    content {
      name  = replace(extra.value.key, "_", ".")
      value = extra.value.value
    }
  }
}
resource "helm_release" "open" {
  name  = "flux-open"
  chart = "flux"
  values = ["git:\n  branch: main\n"]
  dynamic "set" {
    for_each = var.unknown
    content {
      name  = set.key
      value = set.value
    }
  }
}
