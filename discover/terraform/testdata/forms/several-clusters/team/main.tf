terraform {
  required_providers {
    helm = {
      source                = "hashicorp/helm"
      configuration_aliases = [helm.other]
    }
  }
}
resource "helm_release" "default" {
  name  = "a"
  chart = "flux"
}
resource "helm_release" "other" {
  provider = helm.other
  name     = "b"
  chart    = "flux"
}
