# Everything here can be evaluated by the real terraform without a provider.
variable "team" {
  type    = string
  default = "shop"
}

variable "teams" {
  type = map(object({
    url      = string
    paths    = optional(list(string), ["."])
    prune    = optional(bool)
    interval = optional(string, "5m")
  }))
  default = {
    shop = { url = "git@example.com:shop/deploy", paths = ["base", "prod"] }
    bank = { url = "git@example.com:bank/deploy", prune = true }
  }
}

variable "numbers" {
  type    = list(number)
  default = [3, 1, 2]
}

locals {
  list    = ["b", "a", "c", "a"]
  map     = { a = 1, b = 2 }
  nested  = { x = [{ y = "z" }, { y = "w" }] }
  heredoc = <<-EOT
    first
      indented ${var.team}
    %{for n in var.numbers~}
    - ${n}
    %{endfor~}
    last
  EOT
}

module "sub" {
  source   = "./sub"
  for_each = var.teams
  name     = each.key
  team     = each.value
}

resource "terraform_data" "counted" {
  count = length(var.teams)
  input = "${var.team}-${count.index}"
}

resource "terraform_data" "mapped" {
  for_each = { for k, v in var.teams : k => v if contains(v.paths, "prod") }
  input    = { key = each.key, paths = join(",", each.value.paths) }
}

output "collections" {
  value = {
    chunklist       = chunklist(local.list, 3)
    coalesce        = coalesce("", null, "x")
    coalescelist    = coalescelist([], ["x"])
    compact         = compact(["a", "", "b", null])
    concat          = concat(["a"], ["b", "c"])
    contains        = contains(local.list, "c")
    distinct        = distinct(local.list)
    element         = [element(local.list, 5), element(local.list, 1)]
    flatten         = flatten([["a", []], ["b", ["c"]]])
    index           = index(local.list, "c")
    keys            = keys(local.map)
    length          = [length("héllo"), length(local.list), length(local.map), length(toset(local.list))]
    lookup          = [lookup(local.map, "a", 0), lookup(local.map, "z", 9)]
    matchkeys       = matchkeys(["i-1", "i-2", "i-3"], ["w", "e", "w"], ["w"])
    merge           = merge(local.map, { b = 3, c = 4 })
    one             = [one(["x"]), one([])]
    range           = [range(3), range(1, 4), range(1, 8, 2)]
    reverse         = reverse(local.list)
    setintersection = setintersection(["a", "b"], ["b", "c"])
    setproduct      = setproduct(["a", "b"], [1, 2])
    setsubtract     = setsubtract(["a", "b"], ["b"])
    setunion        = setunion(["a"], ["b"])
    slice           = slice(local.list, 1, 3)
    sort            = sort(local.list)
    sum             = sum(var.numbers)
    tolist          = tolist(toset(local.list))
    tomap           = tomap({ a = "x", b = "y" })
    toset           = toset(local.list)
    transpose       = transpose({ a = ["1", "2"], b = ["2"] })
    values          = values(local.map)
    zipmap          = zipmap(["a", "b"], [1, 2])
    alltrue         = [alltrue([true, true]), alltrue([]), alltrue([true, false])]
    anytrue         = [anytrue([false, true]), anytrue([])]
  }
}

output "strings" {
  value = {
    chomp       = chomp("hello\n\n")
    endswith    = endswith("hello", "lo")
    format      = [format("%s-%03d-%v-%q", "a", 7, true, "q"), format("%5.1f|%-5s|%%", 3.14159, "x"), format("%#v", { a = [1] })]
    formatlist  = formatlist("%s.%s", ["a", "b"], "x")
    indent      = indent(2, "a\nb\n c")
    join        = join(", ", local.list)
    lower       = lower("ABC")
    regex       = [regex("[a-z]+", "53453453.345345aaabbbccc"), regex("(?P<scheme>[^:/]+)://(?P<host>[^/]+)", "ssh://example.com/x")]
    regexall    = regexall("[a-z]+", "1234abcd5678efgh9")
    replace     = [replace("a_b_c", "_", "."), replace("hello world", "/w.*d/", "everybody"), replace("ab", "/(a)(b)/", "$2$1")]
    split       = split(",", "a,b,,c")
    startswith  = startswith("hello", "he")
    strcontains = strcontains("hello", "ell")
    strrev      = strrev("hello ☃")
    substr      = [substr("hello world", 1, 4), substr("hello", -3, -1)]
    title       = title("hello world")
    trim        = trim("?!hello?!", "!?")
    trimprefix  = trimprefix("helloworld", "hello")
    trimspace   = trimspace("  hello\n\n")
    trimsuffix  = trimsuffix("helloworld", "world")
    upper       = upper("abc")
    heredoc     = local.heredoc
    escapes     = "a\\,b \"quoted\" $${not} %%{not} \u00e9"
    directive   = "x%{if var.team == "shop"}yes%{else}no%{endif}z"
  }
}

output "encoding" {
  value = {
    base64decode   = base64decode("SGVsbG8=")
    base64encode   = base64encode("Hello")
    csvdecode      = csvdecode("a,b\n1,2\n3,4\n")
    jsondecode     = jsondecode("{\"a\": [1, null, true]}")
    jsonencode     = jsonencode({ b = [1, "x", null], a = { c = true }, html = "<&>" })
    urlencode      = urlencode("a b&c/d?é")
    yamldecode     = yamldecode("a: [1, x, null]\nb: |\n  text\nc: yes\nd: \"yes\"\ne: 0x10\nf: 2020-01-01\n")
    yamlencode     = yamlencode({ git = { url = "git@example.com:x", path = "a\\,b", empty = "" }, list = [1, 2.5, true, null], text = "line\nline\n", odd = ["yes", "null", "0123", "1e3", "a: b", "#c", " pad"] })
    yamlencode_set = yamlencode(toset(["b", "a"]))
    textencode     = textencodebase64("Hello é", "UTF-16LE")
    textdecode     = textdecodebase64("SABlAGwAbABvACAA6QA=", "UTF-16LE")
    uuidv5         = [uuidv5("dns", "example.com"), uuidv5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x")]
    base64gzip     = base64gzip("hello")
    base64sha512   = base64sha512("hello")
    md5            = md5("hello")
    sha1           = sha1("hello")
    sha256         = sha256("hello")
    sha512         = sha512("hello")
    base64sha256   = base64sha256("hello")
    filemd5        = filemd5("${path.module}/template.tpl")
    filebase64     = filebase64("files/a.yaml")
    filehashes     = [filesha1("files/a.yaml"), filesha256("files/a.yaml"), filesha512("files/a.yaml"), filebase64sha256("files/a.yaml"), filebase64sha512("files/a.yaml")]
  }
}

output "numbers" {
  value = {
    abs      = abs(-1.5)
    ceil     = ceil(5.1)
    floor    = floor(4.9)
    log      = log(16, 2)
    max      = max(5, 12, 9)
    min      = min(5, 12, 9)
    parseint = parseint("FF", 16)
    pow      = pow(3, 2)
    signum   = signum(-13)
    ops      = [7 % 3, 7 / 2, -2 * 3, 1 + 2 - 3, 10 >= 10, !true || true && false, 1 == 1.0, "1" == 1]
    text     = "${1.0}-${1.50}-${100000000000000000000}-${1 / 3}"
  }
}

output "network" {
  value = {
    cidrhost    = [cidrhost("10.12.112.0/20", 16), cidrhost("10.12.112.0/20", -1), cidrhost("fd00:fd12:3456:7890:00a2::/72", 34)]
    cidrnetmask = cidrnetmask("172.16.0.0/12")
    cidrsubnets = [cidrsubnets("10.1.0.0/16", 4, 4, 8, 4), cidrsubnets("fd00:fd12:3456:7890::/56", 16, 16, 16, 32)]
    cidrsubnet  = [cidrsubnet("172.16.0.0/12", 4, 2), cidrsubnet("fd00:fd12:3456:7890::/56", 16, 162)]
  }
}

output "types" {
  value = {
    can       = [can(local.nested.x[0].y), can(local.map.zzz), can(tonumber("x"))]
    try_file  = [try(file("sub/none.txt"), "none"), try(templatefile("none.tpl", {}), "none"), can(file("sub/none.txt")), can(filemd5("template.tpl"))]
    try       = [try(local.map.zzz, "fallback"), try(local.nested.x[5].y, local.nested.x[1].y, "z")]
    tobool    = [tobool("true"), tobool(false)]
    tonumber  = tonumber("12.5")
    tostring  = [tostring(12), tostring(true)]
    sensitive = nonsensitive(sensitive("shown"))
    marked    = [issensitive(sensitive("x")), issensitive("x")]
    null      = null
    time      = [formatdate("YYYY-MM-DD hh:mm", "2020-02-03T04:05:06Z"), timeadd("2020-02-03T04:05:06Z", "10m"), timecmp("2020-02-03T04:05:06Z", "2021-02-03T04:05:06Z")]
  }
}

output "expressions" {
  value = {
    for_list    = [for i, v in local.list : "${i}:${v}" if v != "b"]
    for_map     = { for k, v in local.map : upper(k) => v * 2 }
    for_group   = { for v in local.list : v => "x"... }
    splat       = local.nested.x[*].y
    legacy      = local.nested.x.*.y
    index       = local.nested["x"][1]["y"]
    single      = var.team[*]
    none        = null[*]
    conditional = var.team == "shop" ? ["a"] : []
    mixed       = true ? "1" : 2
    spread      = max([1, 5, 3]...)
    teams       = var.teams
    modules     = { for k, m in module.sub : k => m.summary }
    keys        = keys(module.sub)
    counted     = terraform_data.counted[*].input
    mapped      = { for k, r in terraform_data.mapped : k => r.input }
    dotted      = terraform_data.counted.0.input
    paths       = [path.module, path.root]
    workspace   = terraform.workspace
  }
}

output "files" {
  value = {
    file             = file("${path.module}/files/a.yaml")
    fileexists       = [fileexists("files/a.yaml"), fileexists("files/none")]
    fileset          = fileset(path.module, "files/**/*.yaml")
    fileset_flat     = fileset("files", "*.{yaml,txt}")
    fileset_question = fileset("files", "?.yaml")
    basename         = basename("a/b/c.txt")
    dirname          = dirname("a/b/c.txt")
    abspath          = abspath("/a/../b")
    pathexpand       = pathexpand("/a/b")
    templatefile = templatefile("${path.module}/template.tpl", {
      team = var.team, numbers = var.numbers, on = true, off = false, map = local.map
    })
    templatestring = templatestring(local.template, { name = "x" })
  }
}

locals {
  template = "hello $${name}"
}
