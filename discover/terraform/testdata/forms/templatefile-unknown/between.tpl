git:
  url: x
  ${extra}
  branch: main
