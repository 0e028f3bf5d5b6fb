{{- define "flux.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "flux.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $fromRelease := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{ .Values.fullnameOverride | default $fromRelease | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "flux.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (ternary (include "flux.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end -}}

{{- define "flux.clusterRoleName" -}}
{{ .Values.clusterRole.name | default (ternary (include "flux.fullname" .) "default" .Values.clusterRole.create) }}
{{- end -}}

{{- define "flux.keySecretName" -}}
{{ .Values.git.secretName | default (printf "%s-git-deploy" (include "flux.fullname" .)) }}
{{- end -}}

{{- define "flux.gitConfigSecretName" -}}
{{ .Values.git.config.secretName | default (printf "%s-git-config" (include "flux.fullname" .)) }}
{{- end -}}

{{/* Namespaces a confined agent may act in, its own last. */}}
{{- define "flux.namespaces" -}}
{{ append (.Values.allowedNamespaces | default list) .Release.Namespace | toJson }}
{{- end -}}

{{/* Labels of every object; the argument is (list context name). */}}
{{- define "flux.labels" -}}
{{- $context := index . 0 -}}
app: {{ index . 1 }}
chart: {{ printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
release: {{ $context.Release.Name }}
heritage: {{ $context.Release.Service }}
{{- end -}}

{{- define "flux.ownLabels" -}}
{{ include "flux.labels" (list . (include "flux.name" .)) }}
{{- end -}}

{{- define "flux.subject" -}}
- kind: ServiceAccount
  name: {{ include "flux.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
