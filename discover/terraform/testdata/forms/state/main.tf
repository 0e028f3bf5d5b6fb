variable "open" { type = map(string) }
resource "helm_release" "flux" {
  for_each = toset(["shop", "bank", "post"])
  name     = "flux-${each.key}"
  chart    = "flux"
}
resource "helm_release" "single" {
  name  = "s"
  chart = "flux"
}
resource "helm_release" "open" {
  for_each = var.open
  name     = each.key
  chart    = "flux"
}
