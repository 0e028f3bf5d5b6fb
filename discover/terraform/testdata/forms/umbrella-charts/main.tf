# Charts of others that have the flux chart as a part, which only their values tell.
resource "helm_release" "values" {
  name       = "addons"
  namespace  = "flux"
  repository = "https://charts.example.com"
  chart      = "cluster-addons"
  values = [<<EOT
flux:
  git:
    url: git@github.com:example/shop
EOT
  ]
}
resource "helm_release" "set" {
  name       = "platform"
  namespace  = "flux"
  repository = "https://charts.example.com"
  chart      = "cluster-addons"
  set {
    name  = "parts.fluxcd.git.url"
    value = "git@github.com:example/bank"
  }
}
resource "helm_release" "alias" {
  name       = "alias"
  namespace  = "flux"
  repository = "https://charts.example.com"
  chart      = "cluster-addons"
  values     = ["deployer: {git: {url: \"git@github.com:example/desk\", pollInterval: 1m}, syncGarbageCollection: {enabled: true}}"]
}

# No part of these is Flux v1.
resource "helm_release" "flux2" {
  name       = "flux2"
  repository = "https://charts.example.com"
  chart      = "cluster-addons"
  values     = ["flux2-sync: {gitRepository: {spec: {url: \"https://github.com/example/shop\"}}}"]
}
resource "helm_release" "other" {
  name       = "other"
  repository = "https://charts.example.com"
  chart      = "cluster-addons"
  values     = ["dags: {gitSync: {}, git: {url: \"https://github.com/example/dags\", branch: main}}"]
}
