# Which workspaces there are, the backend alone knows; the configuration speaks
# of some.
terraform {
  cloud {
    organization = "example"
    hostname     = "app.example.com"
    token        = "hunter2-token"
    workspaces {
      project = "flux"
      tags    = ["shop", "flux"]
    }
  }
}
variable "branches" {
  default = { shop-dev = "develop", shop-prod = "main" }
}
locals {
  name     = terraform.workspace
  branches = var.branches
}
resource "helm_release" "flux" {
  name    = "flux-${terraform.workspace}"
  chart   = "fluxcd/flux"
  version = "1.13.3"
  values  = ["git: {url: \"git@github.com:example/shop\", branch: \"${local.branches[terraform.workspace]}\"}"]
}
resource "helm_release" "extra" {
  count   = local.name == "shop-stage" || contains(["shop-test"], terraform.workspace) ? 1 : 0
  name    = "flux-extra"
  chart   = "fluxcd/flux"
  version = "1.13.3"
  values  = ["git: {url: \"git@github.com:example/extra\"}"]
}
