variable "token" {
  sensitive = true
}
variable "installer" { type = string }

# The command alone says nothing: what it is given does.
resource "null_resource" "by_trigger" {
  triggers = { flux_url = "git@github.com:example/shop", chart_version = "1.13.3" }
  provisioner "local-exec" {
    command = "echo done"
  }
}
resource "null_resource" "by_environment" {
  provisioner "local-exec" {
    command     = "$TOOL upgrade --install $RELEASE fluxcd/agent"
    environment = { TOOL = "helm", RELEASE = "gitops", TOKEN = var.token }
  }
}
resource "null_resource" "by_interpreter" {
  provisioner "local-exec" {
    interpreter = ["fluxctl", "install", "--git-url"]
    command     = "git@github.com:example/shop"
  }
}
resource "null_resource" "by_file" {
  provisioner "local-exec" {
    working_dir = "${path.module}/bin"
    command     = "./deploy.sh --now"
  }
}
resource "terraform_data" "by_input" {
  input = "kubectl -n gitops apply -f agent.yaml"
  provisioner "local-exec" {
    command = "sh -c \"$RUN\""
    environment = { RUN = self.input }
  }
}
resource "null_resource" "file_that_is_elsewhere" {
  provisioner "local-exec" {
    command = "./generated/run.sh"
  }
}
resource "null_resource" "unknown_program" {
  provisioner "local-exec" {
    command     = "$INSTALLER --yes"
    environment = { INSTALLER = var.installer }
  }
}
resource "null_resource" "neither" {
  triggers = { name = "shop" }
  provisioner "local-exec" {
    command     = "echo $NAME > name.txt"
    environment = { NAME = "shop" }
  }
}
data "external" "identity" {
  program = ["bash", "-c", "fluxctl identity --k8s-fwd-ns gitops | jq -R '{key: .}'"]
}
data "external" "by_query" {
  program = ["python3", "${path.module}/bin/query.py"]
  query   = { namespace = "flux" }
}
data "external" "by_file" {
  program = ["${path.module}/bin/status.py"]
}
data "external" "neither" {
  program = ["jq", "-n", "{a: \"b\"}"]
}
