variable "token" {
  type      = string
  sensitive = true
  default   = "hunter2-secret"
}
resource "helm_release" "blocks" {
  name  = "blocks"
  chart = "flux"
  values = [yamlencode({ git = { url = "from-values", path = "" }, rbac = { create = true }, list = [1, 2, 3] })]
  set {
    name  = "git.url"
    value = "git@example.com:shop/deploy"
  }
  set {
    name  = "git.path"
    value = "prod\\,base"
  }
  set {
    name  = "args"
    value = "{a,b,c}"
  }
  set {
    name  = "replicaCount"
    value = 2
  }
  set {
    name  = "sync.timeout"
    value = "true"
    type  = "string"
  }
  set {
    name  = "annotations.iam\\.amazonaws\\.com/role"
    value = "arn:x"
  }
  set {
    name  = "list[1]"
    value = 20
  }
  set {
    name  = "extraEnvs[0].name"
    value = "A"
  }
  set {
    name  = "extraEnvs[0].value"
    value = "B"
  }
  set_list {
    name  = "allowedNamespaces"
    value = ["shop", "", "bank"]
  }
  set_sensitive {
    name  = "token"
    value = var.token
  }
  set_sensitive {
    name  = "nested.password"
    value = "hunter2-literal"
  }
}
resource "helm_release" "lists" {
  name  = "lists"
  chart = "flux"
  set = [
    { name = "git.url", value = "git@example.com:shop/deploy" },
    { name = "sync.timeout", value = "1", type = "string" },
    { name = "nullish", value = "null" },
    { name = "literal", value = "[1, {a: b}]", type = "literal" },
  ]
  set_list      = [{ name = "allowedNamespaces", value = ["shop", "bank"] }]
  set_sensitive = [{ name = "token", value = var.token }]
  set_wo        = [{ name = "wo.password", value = "hunter2-wo" }]
}
resource "helm_release" "old" {
  name  = "old"
  chart = "flux"
  set_string {
    name  = "git.pollInterval"
    value = "1"
  }
  set {
    name  = "git.token"
    value = var.token
  }
  values = ["${var.token}", "password: ${var.token}\nopen: yes"]
}
resource "helm_release" "wrong" {
  name  = "wrong"
  chart = "flux"
  values = ["git: {", "- a", "x: 1"]
  set {
    name  = "a[b"
    value = "not in the message"
  }
}
