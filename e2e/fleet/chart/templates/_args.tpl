{{/* The agent's arguments as a YAML list, in the order of the flux chart. */}}
{{- define "flux.args" -}}
{{- $v := .Values -}}
{{- $args := list -}}
{{- if not $v.clusterRole.create }}{{ $args = append $args (printf "--k8s-allow-namespace=%s" (include "flux.namespaces" . | fromJsonArray | join ",")) }}{{ end -}}
{{- with $v.defaultNamespace }}{{ $args = append $args (printf "--k8s-default-namespace=%v" .) }}{{ end -}}
{{- with $v.logFormat }}{{ $args = append $args (printf "--log-format=%v" .) }}{{ end -}}
{{- $args = append $args "--ssh-keygen-dir=/var/fluxd/keygen" -}}
{{- $args = append $args (printf "--ssh-keygen-format=%v" $v.ssh.keygen.format) -}}
{{- $args = append $args (printf "--k8s-secret-name=%s" (include "flux.keySecretName" .)) -}}
{{- with $v.git.secretDataKey }}{{ $args = append $args (printf "--k8s-secret-data-key=%v" .) }}{{ end -}}
{{- $args = append $args (printf "--memcached-hostname=%s" ($v.memcached.hostnameOverride | default (printf "%s-memcached" (include "flux.fullname" .)))) -}}
{{- $args = append $args (printf "--sync-state=%v" $v.sync.state) -}}
{{- with $v.sync.timeout }}{{ $args = append $args (printf "--sync-timeout=%v" .) }}{{ end -}}
{{- if $v.memcached.createClusterIP }}{{ $args = append $args "--memcached-service=" }}{{ end -}}
{{- range $pair := list (list "url" $v.git.url) (list "branch" $v.git.branch) (list "path" $v.git.path) (list "readonly" $v.git.readonly) (list "user" $v.git.user) (list "email" $v.git.email) -}}
{{- $args = append $args (printf "--git-%s=%v" (index $pair 0) (index $pair 1)) -}}
{{- end -}}
{{- $keys := list -}}
{{- if $v.gpgKeys.secretName }}{{ $keys = append $keys "/root/gpg-import/private" }}{{ end -}}
{{- if $v.gpgKeys.configMapName }}{{ $keys = append $keys "/root/gpg-import/public" }}{{ end -}}
{{- with $keys }}{{ $args = append $args (printf "--git-gpg-key-import=%s" (join "," .)) }}{{ end -}}
{{- with $v.git.signingKey }}{{ $args = append $args (printf "--git-signing-key=%v" .) }}{{ end -}}
{{- if $v.git.verifySignaturesMode -}}
{{- $args = append $args (printf "--git-verify-signatures-mode=%v" $v.git.verifySignaturesMode) -}}
{{- else -}}
{{- $args = append $args (printf "--git-verify-signatures=%v" $v.git.verifySignatures) -}}
{{- end -}}
{{- $args = append $args (printf "--git-set-author=%v" $v.git.setAuthor) -}}
{{- if $v.git.secret.enabled }}{{ $args = append $args "--git-secret" }}{{ end -}}
{{- $args = append $args (printf "--git-poll-interval=%v" $v.git.pollInterval) -}}
{{- $args = append $args (printf "--git-timeout=%v" $v.git.timeout) -}}
{{- $args = append $args (printf "--sync-interval=%v" ($v.sync.interval | default $v.git.pollInterval)) -}}
{{- $args = append $args (printf "--git-ci-skip=%v" $v.git.ciSkip) -}}
{{- with $v.git.label }}{{ $args = append $args (printf "--git-label=%v" .) }}{{ end -}}
{{- with $v.sops.enabled }}{{ $args = append $args (printf "--sops=%v" .) }}{{ end -}}
{{- if $v.manifestGeneration }}{{ $args = append $args "--manifest-generation=true" }}{{ end -}}
{{- $args = append $args (printf "--automation-interval=%v" ($v.registry.pollInterval | default $v.registry.automationInterval)) -}}
{{- $args = append $args (printf "--registry-rps=%v" $v.registry.rps) -}}
{{- $args = append $args (printf "--registry-burst=%v" $v.registry.burst) -}}
{{- $args = append $args (printf "--registry-trace=%v" $v.registry.trace) -}}
{{- if $v.registry.ecr.require }}{{ $args = append $args "--registry-require=ecr" }}{{ end -}}
{{- with $v.registry.insecureHosts }}{{ $args = append $args (printf "--registry-insecure-host=%v" .) }}{{ end -}}
{{- with $v.registry.cacheExpiry }}{{ $args = append $args (printf "--registry-cache-expiry=%v" .) }}{{ end -}}
{{- if $v.registry.disableScanning }}{{ $args = append $args "--registry-disable-scanning" }}{{ end -}}
{{- with $v.registry.excludeImage }}{{ $args = append $args (printf "--registry-exclude-image=%v" .) }}{{ end -}}
{{- with $v.registry.includeImage }}{{ $args = append $args (printf "--registry-include-image=%v" .) }}{{ end -}}
{{- with $v.registry.useTimestampLabels }}{{ $args = append $args (printf "--registry-use-labels=%v" .) }}{{ end -}}
{{- with $v.registry.ecr.region }}{{ $args = append $args (printf "--registry-ecr-region=%v" .) }}{{ end -}}
{{- with $v.registry.ecr.includeId }}{{ $args = append $args (printf "--registry-ecr-include-id=%v" .) }}{{ end -}}
{{- with $v.registry.ecr.excludeId }}{{ $args = append $args (printf "--registry-ecr-exclude-id=%v" .) }}{{ end -}}
{{- if $v.registry.dockercfg.enabled }}{{ $args = append $args (printf "--docker-config=%v" $v.registry.dockercfg.configFileName) }}{{ end -}}
{{- with $v.token }}{{ $args = concat $args (list "--connect=wss://cloud.weave.works/api/flux" (printf "--token=%v" .)) }}{{ end -}}
{{- if $v.syncGarbageCollection.dry -}}
{{- $args = append $args (printf "--sync-garbage-collection-dry=%v" $v.syncGarbageCollection.dry) -}}
{{- else if $v.syncGarbageCollection.enabled -}}
{{- $args = append $args (printf "--sync-garbage-collection=%v" $v.syncGarbageCollection.enabled) -}}
{{- end -}}
{{ concat $args ($v.additionalArgs | default list) | toYaml }}
{{- end -}}
