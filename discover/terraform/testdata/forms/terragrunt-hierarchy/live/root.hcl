# Evaluated for the folder that includes it: account.hcl is found above that one.
locals {
  account = read_terragrunt_config(find_in_parent_folders("account.hcl"))
  region  = read_terragrunt_config(find_in_parent_folders("region.hcl"), { locals = { region = "none" } })
  missing = read_terragrunt_config(find_in_parent_folders("nothing.hcl", "nothing.hcl"), { locals = { extra = "fallback" } })
}
inputs = merge(local.account.locals, local.region.locals, local.missing.locals, {
  place = path_relative_to_include()
})
