git:
  url: ${url}
  path: "prod,%{ if monitoring }monitoring%{ else }none%{ endif }"
%{ if length(args) > 0 ~}
additionalArgs:
%{ for a in args ~}
  - ${a}
%{ endfor ~}
%{ endif ~}
registry:
  ecr:
    region: "${join(",", regions)}"
%{ if account != "" }
serviceAccount:
  annotations:
    role: ${account}
%{ endif }
literal: $${not} %%{ a directive }
