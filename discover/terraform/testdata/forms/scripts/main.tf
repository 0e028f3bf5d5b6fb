variable "url" { type = string }
resource "null_resource" "install" {
  triggers = { shell = "/bin/bash" }
  provisioner "local-exec" {
    interpreter = [self.triggers.shell, "-c"]
    command     = "helm upgrade -i flux fluxcd/flux --set git.url=${var.url} --namespace flux"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "kubectl delete ns flux"
  }
}
resource "terraform_data" "ctl" {
  provisioner "local-exec" {
    command = <<-EOT
      fluxctl install --git-url=x | kubectl apply -f -
    EOT
  }
}
resource "null_resource" "script" {
  count = 1
  provisioner "local-exec" {
    command = "${path.module}/deploy_flux.sh -g ${var.url}"
  }
}
resource "null_resource" "other" {
  provisioner "local-exec" {
    command = "echo hello"
  }
}
resource "null_resource" "remote" {
  connection {
    host = "bastion.example.com"
  }
  provisioner "remote-exec" {
    inline = [
      "kubectl create namespace flux",
      "helm upgrade -i flux fluxcd/flux --set git.url=${var.url} --namespace flux",
    ]
  }
  provisioner "remote-exec" {
    scripts = ["${path.module}/bin/crds.sh", "bin/operator.sh"]
  }
}
