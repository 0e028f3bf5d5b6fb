provider "aws" {
  alias  = "eu"
  region = "eu-west-1"
  assume_role {
    role_arn = "arn:aws:iam::111111111111:role/ci"
  }
}
provider "aws" {
  alias               = "us"
  region              = "us-east-1"
  allowed_account_ids = ["111111111111"]
}
provider "aws" {
  alias  = "other"
  region = "eu-west-1"
  assume_role_with_web_identity {
    role_arn = "arn:aws:iam::222222222222:role/ci"
  }
}
data "aws_eks_cluster" "eu" {
  provider = aws.eu
  name     = "prod"
}
data "aws_eks_cluster" "us" {
  provider = aws.us
  name     = "prod"
}
data "aws_eks_cluster" "other" {
  provider = aws.other
  name     = "prod"
}
provider "google" {
  project = "example"
  zone    = "europe-west1-b"
}
data "google_container_cluster" "prod" {
  name = "prod"
}
provider "azurerm" {
  subscription_id = "00000000-0000-0000-0000-000000000000"
}
data "azurerm_kubernetes_cluster" "prod" {
  name                = "prod"
  resource_group_name = "shop"
}
provider "helm" {
  kubernetes {
    host = data.aws_eks_cluster.eu.endpoint
  }
}
provider "helm" {
  alias = "us"
  kubernetes {
    host = data.aws_eks_cluster.us.endpoint
  }
}
provider "helm" {
  alias = "other"
  kubernetes {
    host = data.aws_eks_cluster.other.endpoint
  }
}
provider "helm" {
  alias = "program"
  kubernetes {
    host = "https://prod.example.com"
    exec {
      api_version = "client.authentication.k8s.io/v1beta1"
      command     = "aws"
      args        = ["eks", "get-token", "--cluster-name", "prod", "--region", "ap-south-1", "--role-arn", "arn:aws:iam::111111111111:role/ci"]
    }
  }
}
provider "helm" {
  alias = "google"
  kubernetes {
    host = data.google_container_cluster.prod.endpoint
  }
}
provider "helm" {
  alias = "azure"
  kubernetes {
    host = data.azurerm_kubernetes_cluster.prod.kube_config[0].host
  }
}
module "eu" {
  source = "./team"
}
module "us" {
  source    = "./team"
  providers = { helm = helm.us }
}
module "other" {
  source    = "./team"
  providers = { helm = helm.other }
}
module "program" {
  source    = "./team"
  providers = { helm = helm.program }
}
module "google" {
  source    = "./team"
  providers = { helm = helm.google }
}
module "azure" {
  source    = "./team"
  providers = { helm = helm.azure }
}
