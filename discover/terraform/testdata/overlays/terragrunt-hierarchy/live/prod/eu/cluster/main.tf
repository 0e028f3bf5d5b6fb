output "namespace" {
  value = "flux"
}
