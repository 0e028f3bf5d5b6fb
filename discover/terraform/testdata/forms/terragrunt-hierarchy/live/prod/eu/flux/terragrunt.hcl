include "root" {
  path = find_in_parent_folders("root.hcl")
}
include "flux" {
  path   = "${dirname(find_in_parent_folders("root.hcl"))}/../common/flux.hcl"
  expose = true
}
include "settings" {
  path           = "${dirname(find_in_parent_folders("root.hcl"))}/../common/settings.hcl"
  merge_strategy = "deep"
}
locals {
  branch = "${include.flux.locals.branch}-eu"
}
dependency "cluster" {
  config_path = "../cluster"
}
inputs = {
  branch    = local.branch
  root      = basename(get_parent_terragrunt_dir("root"))
  namespace = dependency.cluster.outputs.namespace
  settings = {
    git   = { readonly = true, ciSkip = true }
    hosts = ["git.example.com ssh-ed25519 BBBB"]
  }
}
