variable "hosts" {
  default = {
    east = "https://east.example.com:443/"
    west = "https://west.example.com:6443"
  }
}
data "aws_eks_cluster" "north" { name = "north" }
provider "helm" {
  kubernetes {
    host = var.hosts.east
  }
}
provider "kubernetes" {
  host = var.hosts["east"]
}
provider "helm" {
  alias = "also_east"
  kubernetes {
    host = "https://EAST.example.com"
  }
}
provider "helm" {
  alias = "west"
  kubernetes = {
    host = var.hosts.west
    exec = {
      api_version = "client.authentication.k8s.io/v1"
      command     = "aws"
      args        = ["eks", "get-token", "--cluster-name", "west"]
    }
  }
}
provider "helm" {
  alias = "north"
  kubernetes {
    host = data.aws_eks_cluster.north.endpoint
    token = "hunter2-token"
  }
}
provider "helm" {
  alias = "south"
  kubernetes {
    config_paths = ["kubeconfigs/south", "kubeconfigs/common"]
  }
}
resource "helm_release" "east" {
  name      = "shop"
  namespace = "flux"
  chart     = "flux"
  version   = "1.13.3"
  values    = ["git: {url: \"git@github.com:example/shop\"}"]
}
resource "helm_release" "also_east" {
  provider  = helm.also_east
  name      = "bank"
  namespace = "flux"
  chart     = "flux"
  version   = "1.13.3"
  values    = ["git: {url: \"git@github.com:example/bank\"}"]
}
module "west" {
  source    = "./team"
  providers = { helm = helm.west }
}
module "north" {
  source    = "./team"
  providers = { helm = helm.north }
}
module "south" {
  source    = "./team"
  providers = { helm = helm.south }
}
