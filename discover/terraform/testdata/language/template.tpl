team: ${team}
%{ for n in numbers ~}
- ${n}
%{ endfor ~}
%{ for k, v in map }${k}=${v};%{ endfor }
%{ if on ~}
on: yes
%{ else ~}
on: no
%{ endif ~}
%{ if off }off%{ else }not off%{ endif }
  trimmed: [${~ " x " ~}]
literal: $${kept} %%{kept}
json: ${jsonencode(numbers)}
