data "terraform_remote_state" "platform" {
  backend = "local"
  config  = { path = "../platform/terraform.tfstate" }
  defaults = { poll = "3m" }
}
data "terraform_remote_state" "network" {
  backend = "s3"
  config = {
    bucket     = "states"
    key        = "network/terraform.tfstate"
    access_key = "hunter2-access"
  }
}
data "terraform_remote_state" "gone" {
  backend = "local"
  config  = { path = "../gone.tfstate" }
}
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values = [yamlencode({ git = data.terraform_remote_state.platform.outputs.git })]
  set {
    name  = "git.pollInterval"
    value = data.terraform_remote_state.platform.outputs.poll
  }
  set {
    name  = "git.label"
    value = data.terraform_remote_state.network.outputs.label
  }
  set {
    name  = "sync.interval"
    value = data.terraform_remote_state.gone.outputs.interval
  }
  set {
    name  = "token"
    value = data.terraform_remote_state.platform.outputs.token
  }
}
