include "root" {
  path = find_in_parent_folders("root.hcl")
}
locals {
  team = "shop"
}
terraform {
  source = "../../modules//flux"
}
dependency "cluster" {
  config_path = "../cluster"
}
inputs = {
  team   = local.team
  vpc    = dependency.cluster.outputs.vpc_id
  branch = "main"
}
generate "labels" {
  path      = "labels.tf"
  if_exists = "overwrite_terragrunt"
  contents  = <<TEXT
locals {
  labels = { team = "${local.team}" }
}
TEXT
}
generate "off" {
  path      = "off.tf"
  if_exists = "overwrite_terragrunt"
  disable   = true
  contents  = "locals {}"
}
