resource "null_resource" "flux" {
  triggers = { version = "1.13.3" }
  provisioner "local-exec" {
    command = "helm upgrade --install flux fluxcd/flux --namespace flux --set git.url=git@github.com:example/shop"
  }
}
