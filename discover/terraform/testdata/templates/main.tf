# What the provider template makes of its templates, in forms that configurations
# of Flux v1 have.
variable "regions" {
  default = ["eu-west-1", "us-east-1"]
}
variable "enabled" {
  default = true
}
data "template_file" "values" {
  template = file("${path.module}/values.yaml")
  vars = {
    url      = "git@github.com:example/shop"
    branch   = "main"
    interval = 5
    share    = 0.25
    enabled  = var.enabled
    off      = false
    regions  = join(",", var.regions)
    args     = jsonencode(["--git-ci-skip", "--log-format=fmt"])
    empty    = ""
  }
}
data "template_file" "each" {
  for_each = toset(var.regions)
  template = "region: $${region}\n"
  vars     = { region = each.key }
}
data "template_file" "counted" {
  count    = 2
  template = "$${format(\"team-%02d\", n)}:$${n + 1}:$${upper(name)}"
  vars = {
    n    = count.index
    name = element(["shop", "bank"], count.index)
  }
}
data "template_file" "functions" {
  template = <<-EOT
    indent: $${indent(2, text)}
    list: $${element(split(",", list), 1)} $${length(split(",", list))}
    base64: $${base64encode(text)} $${sha1(text)}
    replace: $${replace(list, ",", "-")} $${trimspace(" x ")} $${substr(list, 0, 3)}
    math: $${number * 2 - 1} $${number > 3 ? "large" : "small"} $${max(number, 7)}
    json: $${jsonencode({ a = list })}
    coalesce: $${coalesce("", list)}
  EOT
  vars = {
    text   = "one\ntwo"
    list   = "a,b,c"
    number = 4
  }
}
data "template_file" "without" {
  template = "plain $$ { % text"
}
output "values" { value = data.template_file.values.rendered }
output "each" { value = { for k, t in data.template_file.each : k => t.rendered } }
output "counted" { value = data.template_file.counted[*].rendered }
output "functions" { value = data.template_file.functions.rendered }
output "without" { value = data.template_file.without.rendered }
output "template" { value = data.template_file.without.template }
output "decoded" { value = yamldecode(data.template_file.values.rendered) }
