moved {
  from = helm_release.old
  to   = helm_release.flux["a"]
}
removed {
  from = helm_release.gone
  lifecycle {
    destroy = false
  }
}
removed {
  from = module.x.helm_release.deleted
}
import {
  to = helm_release.flux["a"]
  id = "flux/flux"
}
resource "helm_release" "flux" {
  for_each = { a = 1 }
  name     = "flux"
  chart    = "flux"
  lifecycle {
    ignore_changes  = [set, values]
    prevent_destroy = true
  }
}
