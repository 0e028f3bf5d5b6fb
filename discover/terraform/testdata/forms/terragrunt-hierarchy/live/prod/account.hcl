locals {
  account = "prod"
  token   = get_env("TOKEN", "")
}
