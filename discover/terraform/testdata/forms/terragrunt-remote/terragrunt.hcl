terraform {
  source = "git::git@github.com:example/modules.git//flux?ref=v1"
}
inputs = merge({ a = 1 }, read_terragrunt_config("x.hcl").inputs)
remote_state {
  backend = "s3"
  generate = {
    path      = "backend.tf"
    if_exists = "overwrite_terragrunt"
  }
  config = {
    bucket = "example-states"
    key    = "flux/terraform.tfstate"
    region = "eu-central-1"
  }
}
