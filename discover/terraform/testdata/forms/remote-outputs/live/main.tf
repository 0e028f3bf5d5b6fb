# Of the one state is known what "terraform show -json" printed, of the other what
# "terraform output -json" did.
variable "state" {}
data "terraform_remote_state" "shown" {
  backend = "local"
  config  = { path = var.state }
}
data "terraform_remote_state" "printed" {
  backend = "local"
  config  = { path = var.state }
}
resource "helm_release" "shown" {
  name       = "shown"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values = [yamlencode({
    git = {
      url          = data.terraform_remote_state.shown.outputs.text
      path         = join(",", data.terraform_remote_state.shown.outputs.object.paths)
      pollInterval = "${data.terraform_remote_state.shown.outputs.tuple[1]}m"
      readonly     = data.terraform_remote_state.shown.outputs.yes
    }
    token = data.terraform_remote_state.shown.outputs.password
  })]
}
resource "helm_release" "printed" {
  name       = "printed"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = data.terraform_remote_state.printed.outputs.text } })]
  dynamic "set" {
    for_each = data.terraform_remote_state.printed.outputs.map
    content {
      name  = "annotations.${replace(set.key, "/", "-")}"
      value = set.value
    }
  }
  set {
    name  = "git.path"
    value = "{${join(",", data.terraform_remote_state.printed.outputs.list)}}"
  }
  set {
    name  = "git.label"
    value = data.terraform_remote_state.printed.outputs.object.more.deep.deeper
  }
  set {
    name  = "token"
    value = data.terraform_remote_state.printed.outputs.partly.password
  }
}
