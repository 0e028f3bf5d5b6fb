module "remote" {
  source  = "terraform-example/flux/kubernetes"
  version = "1.2.3"
}
module "git" {
  source = "git::https://example.com/modules.git//flux?ref=v1"
}
module "escape" {
  source = "../../../elsewhere"
}
module "above" {
  source = "../shared/flux"
  url    = module.remote.git_url
}
module "installed" {
  source = "example/installed/kubernetes"
}
resource "helm_release" "flux" {
  name      = "flux"
  chart     = "flux"
  namespace = module.git.namespace
}
