variable "enabled" { default = true }
variable "unknown" { type = bool }
resource "helm_release" "on" {
  count = var.enabled ? 1 : 0
  name  = "flux"
  chart = "flux"
}
resource "helm_release" "off" {
  count = var.enabled ? 0 : 1
  name  = "flux-off"
  chart = "flux"
}
resource "helm_release" "several" {
  count = 3
  name  = "flux-${count.index}"
  chart = "flux"
  set {
    name  = "git.branch"
    value = element(["main", "dev"], count.index)
  }
}
resource "helm_release" "maybe" {
  count = var.unknown ? 1 : 0
  name  = "flux-maybe"
  chart = "flux"
}
output "names" { value = helm_release.several[*].name }
output "first" { value = helm_release.several[0].name }
output "maybe" { value = helm_release.maybe[0].name }
