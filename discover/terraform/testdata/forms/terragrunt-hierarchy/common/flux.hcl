terraform {
  source = "${get_terragrunt_dir()}/${path_relative_from_include()}/../modules//flux"
  extra_arguments "variables" {
    commands           = get_terraform_commands_that_need_vars()
    required_var_files = ["${get_parent_terragrunt_dir()}/flux.tfvars"]
    optional_var_files = ["${get_terragrunt_dir()}/only-here.tfvars", "${get_terragrunt_dir()}/not-there.tfvars"]
    env_vars = {
      TF_VAR_from_env = "env"
      OTHER           = "x"
    }
  }
  extra_arguments "of_another_command" {
    commands           = ["console"]
    required_var_files = ["${get_parent_terragrunt_dir()}/absent.tfvars"]
  }
}
locals {
  branch = "main"
}
