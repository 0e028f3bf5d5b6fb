terraform {
  required_version = ">= 0.13"
  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "1.3.2"
    }
  }
  backend "s3" {
    bucket     = "states"
    key        = "prod/flux.tfstate"
    region     = "eu-west-1"
    access_key = "hunter2-access"
    secret_key = "hunter2-secret"
  }
}
resource "helm_release" "flux" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = ["git: {url: \"git@github.com:example/shop\"}"]
}
