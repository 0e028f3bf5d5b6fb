variable "host" {}
locals {
  user = "git"
}
output "url" { value = "${local.user}@${var.host}/deploy" }
