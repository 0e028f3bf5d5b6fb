resource "helm_release" "flux" {
  name  = "flux"
  chart = "flux"
  values = [
    file("../../../../../../etc/passwd"),
    file("/etc/passwd"),
    file("${path.module}/../shared.yaml"),
  ]
}
output "exists" { value = [fileexists("../../../secret"), fileexists("main.tf"), fileexists("no.tf")] }
output "home" { value = file(pathexpand("~/.ssh/id_rsa")) }
output "set" { value = fileset("..", "**/*.yaml") }
output "folder" { value = file("..") }
