variable "branch" { default = "prod" }
locals { a = 2 }
resource "helm_release" "flux" {
  version = "1.13.3"
  set {
    name  = "git.branch"
    value = "override-${var.branch}"
  }
}
