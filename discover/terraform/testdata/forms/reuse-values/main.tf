# Helm takes over what a release was given before, unless it is told to reset it.
resource "helm_release" "kept" {
  name         = "kept"
  namespace    = "flux"
  repository   = "https://charts.fluxcd.io"
  chart        = "flux"
  version      = "1.13.3"
  reuse_values = true
  set {
    name  = "git.url"
    value = "git@github.com:example/kept"
  }
}
resource "helm_release" "reset" {
  name         = "reset"
  namespace    = "flux"
  repository   = "https://charts.fluxcd.io"
  chart        = "flux"
  version      = "1.13.3"
  reuse_values = true
  reset_values = true
  set {
    name  = "git.url"
    value = "git@github.com:example/reset"
  }
}
