# Variables by the arguments that the environment gives to every command, and to one.

variable "default" {
  default = "default"
}

variable "auto" {
  default = "default"
}

variable "file" {
  default = "default"
}

variable "every" {
  default = "default"
}

variable "spoken" {
  default = "default"
}

variable "argument" {
  default = "default"
}

resource "helm_release" "flux" {
  name       = "flux"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"

  values = [yamlencode({
    git = {
      url    = "git@git.example.com:org/${var.default}"
      branch = var.every
      path   = var.file
      label  = var.spoken
      user   = var.argument
      email  = var.auto
    }
  })]
}
