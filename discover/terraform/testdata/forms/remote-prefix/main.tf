# Named "prod" here and "shop-prod" where HCP Terraform runs it.
terraform {
  backend "remote" {
    organization = "example"
    workspaces {
      prefix = "shop-"
    }
  }
}
locals {
  branches = { dev = "develop", prod = "main" }
}
resource "helm_release" "flux" {
  name    = "flux-${terraform.workspace}"
  chart   = "fluxcd/flux"
  version = "1.13.3"
  values  = ["git: {url: \"git@github.com:example/shop\", branch: \"${local.branches[terraform.workspace]}\"}"]
}
