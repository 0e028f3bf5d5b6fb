git:
  url: ${url}
%{ if gc ~}
syncGarbageCollection:
  enabled: true
%{ else ~}
syncGarbageCollection:
  enabled: false
%{ endif ~}
allowedNamespaces:
%{ for n in namespaces ~}
  - ${n}
%{ endfor ~}
