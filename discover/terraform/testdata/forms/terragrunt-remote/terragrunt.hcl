terraform {
  source = "git::git@github.com:example/modules.git//flux?ref=v1"
}
inputs = merge({ a = 1 }, read_terragrunt_config("x.hcl").inputs)
