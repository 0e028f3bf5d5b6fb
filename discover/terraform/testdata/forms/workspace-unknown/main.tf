resource "helm_release" "flux" {
  name  = "flux-${terraform.workspace}"
  chart = "flux"
}
terraform {
  backend "s3" {
    bucket = "state"
  }
}
