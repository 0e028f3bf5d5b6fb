variable "x" {}
output "y" { value = "y" }
output "z" { value = var.x }
