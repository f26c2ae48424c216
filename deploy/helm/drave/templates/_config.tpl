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
    Name                      tail
{{- include "drave.options" (list . "Tag tag" "Path path" "Exclude_Path excludePath" "Path_Key pathKey" "multiline.parser multilineParser"
    "Parser parser" "Docker_Mode dockerMode" "DB db" "Read_From_Head readFromHead" "Mem_Buf_Limit memBufLimit"
    "Skip_Long_Lines skipLongLines" "Refresh_Interval refreshInterval") }}
{{- with .extraInputs }}
{{ tpl . $ | trim | indent 4 }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.journal.enabled }}

[INPUT]
    Name                      systemd
{{- include "drave.options" (list .Values.journal "Tag tag" "Path path" "Read_From_Tail readFromTail") }}
{{- include "drave.options" (list .Values.input "DB db") }}
{{- range .Values.journal.filters }}
    Systemd_Filter            {{ . }}
{{- end }}
{{- end }}

{{ tpl .Values.additionalInputs . }}
{{- end }}

{{- define "drave.filters" -}}
{{- with .Values.filter }}
{{- if .enabled }}
[FILTER]
    Name                      kubernetes
{{- include "drave.options" (list . "Match match" "Kube_URL kubeURL" "Merge_Log mergeLog" "Merge_Log_Key mergeLogKey" "Keep_Log keepLog"
    "K8S-Logging.Parser k8sLoggingParser" "K8S-Logging.Exclude k8sLoggingExclude" "Labels labels" "Annotations annotations") }}
{{- with .extraFilters }}
{{ tpl . $ | trim | indent 4 }}
{{- end }}
{{- end }}
{{- end }}

{{ tpl .Values.additionalFilters . }}
{{- end }}

{{- /* After the filters, whoever wrote them. */ -}}
{{- define "drave.names" -}}
{{- if or .Values.clusterName .Values.environment }}
[FILTER]
    Name                      record_modifier
    Match                     *
{{- with .Values.clusterName }}
    Record                    cluster {{ . }}
{{- end }}
{{- with .Values.environment }}
    Record                    environment {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Lines of a section: (list VALUES "Option value-name" …); what is not set is left out. */ -}}
{{- define "drave.options" -}}
{{- $values := first . }}
{{- range rest . }}
{{- $words := splitList " " . }}
{{- $value := get $values (last $words) }}
{{- if and (ne $value nil) (ne (toString $value) "") }}
{{- printf "\n    %-24s  %v" (first $words) $value }}
{{- end }}
{{- end }}
{{- end }}

{{- /* An output: (list ROOT NAME VALUES "Option value-name" …) */ -}}
{{- define "drave.output" -}}
{{- $root := first . }}
{{- $values := index . 2 }}
[OUTPUT]
    Name                      {{ index . 1 }}
{{- include "drave.options" (concat (list $values "Match match") (slice . 3)) }}
{{- if eq $root.Values.storage.type "filesystem" }}
{{- include "drave.options" (list $root.Values.storage "storage.total_limit_size limit") }}
{{- end }}
{{- with $values.extraOutputs }}
{{ tpl . $root | trim | indent 4 }}
{{- end }}
{{- end }}

{{- define "drave.outputs" -}}
{{- with .Values.cloudWatchLogs }}
{{- if .enabled }}
{{- $values := deepCopy . }}
{{- $cluster := default "cluster" $.Values.clusterName }}
{{- if not .logGroupName }}
{{- $_ := set $values "logGroupName" (printf "/eks/%s/node" $cluster) }}
{{- $_ := set $values "logGroupTemplate" (default (printf "/eks/%s/$kubernetes['namespace_name']" $cluster) .logGroupTemplate) }}
{{- end }}
{{- if .logStreamName }}
{{- $_ := unset (unset $values "logStreamPrefix") "logStreamTemplate" }}
{{- else if not .logStreamPrefix }}
{{- $_ := set $values "logStreamPrefix" "${NODE_NAME}-" }}
{{- $_ := set $values "logStreamTemplate" (default "${NODE_NAME}" .logStreamTemplate) }}
{{- end }}
{{ include "drave.output" (list $ "cloudwatch_logs" $values "region region" "log_group_name logGroupName" "log_group_template logGroupTemplate"
    "log_stream_name logStreamName" "log_stream_prefix logStreamPrefix" "log_stream_template logStreamTemplate" "log_key logKey" "log_format logFormat"
    "auto_create_group autoCreateGroup" "log_retention_days logRetentionDays" "role_arn roleArn" "external_id externalId" "endpoint endpoint"
    "sts_endpoint stsEndpoint") }}
{{- end }}
{{- end }}
{{- with .Values.cloudWatch }}
{{- if .enabled }}
{{ include "drave.output" (list $ "cloudwatch" . "region region" "log_group_name logGroupName" "log_stream_name logStreamName"
    "log_stream_prefix logStreamPrefix" "log_key logKey" "log_format logFormat" "auto_create_group autoCreateGroup"
    "log_retention_days logRetentionDays" "role_arn roleArn" "endpoint endpoint") }}
{{- end }}
{{- end }}
{{- range $name, $values := dict "opensearch" .Values.opensearch "es" .Values.elasticsearch }}
{{- if $values.enabled }}
{{- $_ := required (printf "the output %s needs a host" $name) $values.host }}
{{ include "drave.output" (list $ $name $values "Host host" "Port port" "tls tls" "Path path" "Pipeline pipeline" "Index index" "Type type"
    "Logstash_Format logstashFormat" "Logstash_Prefix logstashPrefix" "Logstash_Prefix_Key logstashPrefixKey"
    "Logstash_DateFormat logstashDateFormat" "Time_Key timeKey" "Time_Key_Format timeKeyFormat" "Time_Key_Nanos timeKeyNanos"
    "Current_Time_Index currentTimeIndex" "Include_Tag_Key includeTagKey" "Tag_Key tagKey" "Suppress_Type_Name suppressTypeName"
    "Generate_ID generateId" "Id_Key idKey" "Write_Operation writeOperation" "Replace_Dots replaceDots" "Retry_Limit retryLimit"
    "AWS_Auth awsAuth" "AWS_Region awsRegion" "AWS_Service_Name awsServiceName" "AWS_Role_ARN awsRoleArn"
    "AWS_External_ID awsExternalId" "AWS_STS_Endpoint awsStsEndpoint" "HTTP_User httpUser" "HTTP_Passwd httpPasswd") }}
{{- end }}
{{- end }}
{{- with .Values.loki }}
{{- if .enabled }}
{{- $_ := required "the output loki needs a host" .host }}
{{ include "drave.output" (list $ "loki" . "Host host" "Port port" "tls tls" "Tenant_ID tenantId" "Labels labels" "Structured_Metadata structuredMetadata") }}
{{- end }}
{{- end }}

{{ tpl .Values.additionalOutputs . }}
{{- end }}

{{- define "drave.config" -}}
{{- range list "service" "inputs" "filters" "outputs" }}
{{- $own := get $.Values.config . }}
{{ if $own }}{{ tpl $own $ }}{{ else }}{{ include (printf "drave.%s" .) $ }}{{ end }}
{{- if eq . "filters" }}

{{ include "drave.names" $ }}
{{- end }}
{{- end }}
{{- end }}
