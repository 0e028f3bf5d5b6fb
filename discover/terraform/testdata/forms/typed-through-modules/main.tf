variable "org" { type = string }
module "flux" {
  source = "./flux"
  git = {
    url     = "git@github.com:${var.org}/x"
    ciSkip  = 1
    nobodys = "the type has no such attribute"
  }
  teams = [{ name = "a" }, { name = "team-${var.org}", quota = "3" }]
  labels = {
    on  = true
    org = var.org
  }
}
