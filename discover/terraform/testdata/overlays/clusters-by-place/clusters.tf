# One cluster, with a store for each.
provider "helm" {
  helm_driver = "secret"
}
provider "helm" {
  alias       = "us"
  helm_driver = "configmap"
}
provider "helm" {
  alias       = "other"
  helm_driver = "memory"
}
