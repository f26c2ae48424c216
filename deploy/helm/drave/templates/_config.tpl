{{- /*
The configuration, in the classic syntax: what people have in their values can be put beside it as it is. One template for each
kind of section; text that is set under `config` takes the place of the whole kind.
*/ -}}
{{- define "drave.service" -}}
[SERVICE]
    Flush         {{ .Values.flush }}
    Grace         {{ .Values.grace }}
    Log_Level     {{ .Values.logLevel }}
    HTTP_Server   On
    HTTP_Port     {{ .Values.metricsPort }}
{{- if eq .Values.storage.type "filesystem" }}
    storage.type  filesystem
    storage.path  /var/lib/drave/spool
{{- end }}
{{- if .Values.storage.deadLetter }}
    storage.dead_letter  /var/lib/drave/refused.jsonl
{{- end }}
{{- if .Values.config.customParsers }}
    Parsers_File  custom_parsers.conf
{{- end }}
{{- if .Values.service.extraParsers }}
    Parsers_File  extra_parsers.conf
{{- end }}
{{- range .Values.service.parsersFiles }}
    Parsers_File  {{ . }}
{{- end }}
{{- with .Values.service.extraService }}
{{ tpl . $ | trim | indent 4 }}
{{- end }}
{{- end }}

{{- define "drave.inputs" -}}
{{- with .Values.input }}
{{- if .enabled }}
[INPUT]
    Name              tail
    Tag               {{ .tag }}
    Path              {{ .path }}
{{- with .excludePath }}
    Exclude_Path      {{ . }}
{{- end }}
    multiline.parser  {{ .multilineParser }}
    DB                {{ .db }}
    Read_From_Head    {{ .readFromHead }}
{{- with .memBufLimit }}
    Mem_Buf_Limit     {{ . }}
{{- end }}
    Skip_Long_Lines   {{ .skipLongLines }}
    Refresh_Interval  {{ .refreshInterval }}
{{- with .extraInputs }}
{{ tpl . $ | trim | indent 4 }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.journal.enabled }}
[INPUT]
    Name              systemd
    Tag               {{ .Values.journal.tag }}
    Path              {{ .Values.journal.path }}
    DB                {{ .Values.input.db }}
    Read_From_Tail    {{ .Values.journal.readFromTail }}
{{- range .Values.journal.filters }}
    Systemd_Filter    {{ . }}
{{- end }}
{{- end }}
{{ tpl .Values.additionalInputs . }}
{{- end }}

{{- define "drave.filters" -}}
{{- with .Values.filter }}
{{- if .enabled }}
[FILTER]
    Name                 kubernetes
    Match                {{ .match }}
    Merge_Log            {{ .mergeLog }}
{{- with .mergeLogKey }}
    Merge_Log_Key        {{ . }}
{{- end }}
    Keep_Log             {{ .keepLog }}
    K8S-Logging.Parser   {{ .k8sLoggingParser }}
    K8S-Logging.Exclude  {{ .k8sLoggingExclude }}
    Labels               {{ .labels }}
    Annotations          {{ .annotations }}
{{- with .extraFilters }}
{{ tpl . $ | trim | indent 4 }}
{{- end }}
{{- end }}
{{- end }}
{{- if or .Values.clusterName .Values.environment }}
[FILTER]
    Name    record_modifier
    Match   *
{{- with .Values.clusterName }}
    Record  cluster {{ . }}
{{- end }}
{{- with .Values.environment }}
    Record  environment {{ . }}
{{- end }}
{{- end }}
{{ tpl .Values.additionalFilters . }}
{{- end }}

{{- define "drave.outputs" -}}
{{- $limit := "" }}
{{- if eq .Values.storage.type "filesystem" }}{{ $limit = .Values.storage.limit }}{{ end }}
{{- $cluster := default "cluster" .Values.clusterName }}
{{- with .Values.cloudWatchLogs }}
{{- if .enabled }}
[OUTPUT]
    Name                 cloudwatch_logs
    Match                {{ .match }}
{{- with .region }}
    region               {{ . }}
{{- end }}
    log_group_name       {{ default (printf "/eks/%s/node" $cluster) .logGroupName }}
{{- if or .logGroupTemplate (not .logGroupName) }}
    log_group_template   {{ default (printf "/eks/%s/$kubernetes['namespace_name']" $cluster) .logGroupTemplate }}
{{- end }}
{{- if .logStreamName }}
    log_stream_name      {{ .logStreamName }}
{{- else }}
    log_stream_prefix    {{ default "${NODE_NAME}-" .logStreamPrefix }}
{{- if or .logStreamTemplate (not .logStreamPrefix) }}
    log_stream_template  {{ default "${NODE_NAME}" .logStreamTemplate }}
{{- end }}
{{- end }}
{{- with .logKey }}
    log_key              {{ . }}
{{- end }}
{{- with .logFormat }}
    log_format           {{ . }}
{{- end }}
    auto_create_group    {{ .autoCreateGroup }}
{{- with .logRetentionDays }}
    log_retention_days   {{ . }}
{{- end }}
{{- with .roleArn }}
    role_arn             {{ . }}
{{- end }}
{{- with .externalId }}
    external_id          {{ . }}
{{- end }}
{{- with .endpoint }}
    endpoint             {{ . }}
{{- end }}
{{- with $limit }}
    storage.total_limit_size  {{ . }}
{{- end }}
{{- with .extraOutputs }}
{{ tpl . $ | trim | indent 4 }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $values := dict "opensearch" .Values.opensearch "es" .Values.elasticsearch }}
{{- with $values }}
{{- if .enabled }}
[OUTPUT]
    Name                {{ $name }}
    Match               {{ .match }}
    Host                {{ required (printf "the output %s needs a host" $name) .host }}
    Port                {{ .port }}
    tls                 {{ .tls }}
    Index               {{ .index }}
    Logstash_Format     {{ .logstashFormat }}
    Logstash_Prefix     {{ .logstashPrefix }}
    Suppress_Type_Name  {{ .suppressTypeName }}
{{- with .generateId }}
    Generate_ID         {{ . }}
{{- end }}
{{- with .awsAuth }}
    AWS_Auth            {{ . }}
{{- end }}
{{- with .awsRegion }}
    AWS_Region          {{ . }}
{{- end }}
{{- with .awsServiceName }}
    AWS_Service_Name    {{ . }}
{{- end }}
{{- with .httpUser }}
    HTTP_User           {{ . }}
{{- end }}
{{- with .httpPasswd }}
    HTTP_Passwd         {{ . }}
{{- end }}
{{- with $limit }}
    storage.total_limit_size  {{ . }}
{{- end }}
{{- with .extraOutputs }}
{{ tpl . $ | trim | indent 4 }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.loki }}
{{- if .enabled }}
[OUTPUT]
    Name                 loki
    Match                {{ .match }}
    Host                 {{ required "the output loki needs a host" .host }}
    Port                 {{ .port }}
    tls                  {{ .tls }}
{{- with .tenantId }}
    Tenant_ID            {{ . }}
{{- end }}
    Labels               {{ .labels }}
{{- with .structuredMetadata }}
    Structured_Metadata  {{ . }}
{{- end }}
{{- with $limit }}
    storage.total_limit_size  {{ . }}
{{- end }}
{{- with .extraOutputs }}
{{ tpl . $ | trim | indent 4 }}
{{- end }}
{{- end }}
{{- end }}
{{ tpl .Values.additionalOutputs . }}
{{- end }}

{{- define "drave.config" -}}
{{- range list "service" "inputs" "filters" "outputs" }}
{{- $own := get $.Values.config . }}
{{ if $own }}{{ tpl $own $ }}{{ else }}{{ include (printf "drave.%s" .) $ }}{{ end }}
{{- end }}
{{- end }}
