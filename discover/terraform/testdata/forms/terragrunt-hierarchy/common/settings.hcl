inputs = {
  branch = "not-this"
  settings = {
    git   = { readonly = false, pollInterval = "2m" }
    hosts = ["github.com ssh-ed25519 AAAA"]
  }
}
