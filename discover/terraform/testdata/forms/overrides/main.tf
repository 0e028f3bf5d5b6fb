variable "branch" { default = "dev" }
locals { a = 1 }
resource "helm_release" "flux" {
  name  = "flux"
  chart = "flux"
  set {
    name  = "git.branch"
    value = var.branch
  }
  set {
    name  = "git.path"
    value = "x"
  }
}
output "a" { value = local.a }
