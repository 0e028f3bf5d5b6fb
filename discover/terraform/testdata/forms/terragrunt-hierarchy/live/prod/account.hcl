locals {
  account = "prod"
  token   = get_env("TOKEN", "")
  self    = read_terragrunt_config("${get_terragrunt_dir()}/account.hcl")
}
