provider "helm" {
  kubernetes {
    config_path    = "~/.kube/config"
    config_context = "main"
  }
}
provider "helm" {
  alias = "west"
  kubernetes {
    host = data.aws_eks_cluster.west.endpoint
  }
}
data "aws_eks_cluster" "west" { name = "west" }
resource "helm_release" "main" {
  name  = "flux"
  chart = "flux"
}
resource "helm_release" "west" {
  provider = helm.west
  name     = "flux"
  chart    = "flux"
}
module "team" {
  source    = "./team"
  providers = { helm = helm.west, helm.other = helm }
}
module "inherits" { source = "./inherits" }
