# One cluster, with a store for each.
provider "helm" {
  helm_driver = "secret"
}
provider "helm" {
  alias       = "also_east"
  helm_driver = "secret"
}
provider "helm" {
  alias       = "west"
  helm_driver = "configmap"
}
provider "helm" {
  alias       = "north"
  helm_driver = "memory"
}
