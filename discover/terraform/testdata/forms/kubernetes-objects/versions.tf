terraform {
  required_providers {
    kubectl = { source = "gavinbunney/kubectl" }
  }
}
