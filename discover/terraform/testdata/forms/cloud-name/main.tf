terraform {
  cloud {
    organization = "example"
    workspaces {
      name = "shop-prod"
    }
  }
}
locals {
  branches = { shop-dev = "develop", shop-prod = "main" }
}
resource "helm_release" "flux" {
  name    = "flux-${terraform.workspace}"
  chart   = "fluxcd/flux"
  version = "1.13.3"
  values  = ["git: {url: \"git@github.com:example/shop\", branch: \"${local.branches[terraform.workspace]}\"}"]
}
