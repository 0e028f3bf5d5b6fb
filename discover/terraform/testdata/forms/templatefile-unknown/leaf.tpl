git:
  url: ${url}
  branch: ${branch}
  path: "${join(",", paths)}"
registry:
  ecr:
    region: ${region}
    quoted: "${region}"
