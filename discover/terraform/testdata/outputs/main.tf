# Outputs of every kind, as other configurations read them from the state.
variable "password" {
  sensitive = true
  default   = "hunter2"
}
resource "terraform_data" "x" {
  input = { url = "git@github.com:example/shop" }
}
output "text" { value = terraform_data.x.output.url }
output "number" { value = 12345678901 }
output "fraction" { value = 0.1 }
output "yes" { value = true }
output "nothing" { value = null }
output "list" { value = tolist(["a", "b"]) }
output "tuple" { value = ["a", 1, true, null, { b = [] }] }
output "set" { value = toset(["b", "a"]) }
output "map" { value = tomap({ a = "1", "b.c/d" = "2" }) }
output "object" {
  value = {
    name  = "flux"
    paths = ["a", "b"]
    more  = { deep = { deeper = "x" } }
  }
}
output "password" {
  value     = "token-${var.password}"
  sensitive = true
}
output "partly" {
  value     = { user = "git", password = var.password }
  sensitive = true
}
