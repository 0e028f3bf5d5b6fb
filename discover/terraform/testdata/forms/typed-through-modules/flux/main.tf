variable "git" {
  type = object({
    url      = string
    branch   = optional(string, "main")
    readonly = optional(bool, true)
    ciSkip   = optional(string)
  })
}
variable "teams" {
  type = list(object({ name = string, quota = optional(number, 1) }))
}
variable "labels" { type = map(string) }
resource "helm_release" "flux" {
  name       = "flux"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = var.git, teams = var.teams, labels = var.labels, asText = "branch: ${var.git.branch}" })]
}
