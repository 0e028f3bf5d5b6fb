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

# Resources and data that are there to run a program, ephemeral ones, and actions.
resource "shell_script" "made" {
  lifecycle_commands {
    create = "helm upgrade --install agent fluxcd/flux"
    update = "./bin/deploy.sh"
    delete = "kubectl delete namespace gitops"
  }
  environment           = { NAMESPACE = "gitops" }
  sensitive_environment = { TOKEN = var.token }
}
resource "shell_script" "gone" {
  lifecycle_commands {
    create = "echo done"
    delete = "kubectl delete namespace gitops"
  }
}
data "shell_script" "read" {
  working_directory = "${path.module}/bin"
  lifecycle_commands {
    read = "./deploy.sh"
  }
}
data "local_command" "read" {
  command   = "kubectl"
  arguments = ["get", "namespace", "gitops"]
}
data "local_command" "unknown_program" {
  command   = var.installer
  arguments = ["--yes"]
}
ephemeral "external" "token" {
  program = ["fluxctl", "identity"]
}
action "local_command" "apply" {
  config {
    command   = "bash"
    arguments = ["-c", "kubectl apply -f agent.yaml"]
  }
}
resource "ansible_playbook" "cluster" {
  playbook = "flux.yml"
  name     = "localhost"
}
resource "helmfile_release_set" "agent" {
  content = "releases: [{name: agent, chart: fluxcd/flux}]"
}
resource "terracurl_request" "notify" {
  name         = "notify"
  url          = "https://hooks.example.com/deploy"
  method       = "POST"
  request_body = jsonencode({ text = "Flux has been deployed" })
}
