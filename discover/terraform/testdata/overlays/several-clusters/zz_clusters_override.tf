# One cluster, with a store for each.
provider "helm" {
  alias       = "west"
  helm_driver = "configmap"
  kubernetes {
    config_path = "~/.kube/config"
  }
}
