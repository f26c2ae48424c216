{{- define "drave.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "drave.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "drave.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "drave.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "drave.selectorLabels" -}}
app.kubernetes.io/name: {{ include "drave.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "drave.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "drave.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "drave.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "drave.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "drave.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* The file that the agent is started with. */ -}}
{{- define "drave.mainFile" -}}
{{- if .Values.existingConfigMap }}fluent-bit.conf{{ else if .Values.config.yaml }}drave.yaml{{ else }}drave.conf{{ end }}
{{- end }}

{{- /* Containers as a list, or as a text with templates: (list ROOT CONTAINERS) */ -}}
{{- define "drave.listOrText" -}}
{{- $containers := last . }}
{{- if kindIs "string" $containers }}{{ tpl $containers (first .) }}{{ else }}{{ toYaml $containers }}{{ end }}
{{- end }}
