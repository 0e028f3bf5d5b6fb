ssh:
  known_hosts: |
    first
    ${hosts}
args:
  ${jsonencode(list)}
# ${hosts}
git: {branch: main}
