git:
  url: git@example.com:shop/deploy
%{ if account != "" }
serviceAccount:
  name: ${account}
%{ endif }
