module "flux" {
  source   = "./modules/flux"
  for_each = { shop = "git@example.com:shop/deploy", bank = "git@example.com:bank/deploy" }
  team     = each.key
  url      = each.value
  providers = {
    helm = helm.apps
  }
}
module "single" {
  source = "./modules/flux"
  count  = 1
  team   = "post"
  url    = module.flux["shop"].url
}
provider "helm" {
  alias = "apps"
  kubernetes {
    config_context = "apps"
  }
}
output "namespaces" { value = [for m in module.flux : m.namespace] }
output "one" { value = module.single[0].namespace }
