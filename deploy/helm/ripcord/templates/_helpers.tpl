{{- define "ripcord.labels" -}}
app.kubernetes.io/name: ripcord
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "ripcord.selector" -}}
app.kubernetes.io/name: ripcord
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ripcord.name" -}}
{{- if contains "ripcord" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-ripcord" .Release.Name }}{{ end }}
{{- end }}

{{- define "ripcord.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* The configuration as data. What is wrong with it is for `ripcord check` to say; here only what the chart itself depends on. */ -}}
{{- define "ripcord.config" -}}
{{- $text := required "config is empty: install with --set-file config=ripcord.yaml (docs/install.md)" .Values.config -}}
{{- $config := fromYaml $text -}}
{{- if hasKey $config "Error" }}{{ fail (printf "config is no YAML: %s" $config.Error) }}{{ end -}}
{{- if and (gt (int .Values.replicas) 1) (not $config.leader_election) (not .Values.dryRun) -}}
{{- fail "replicas is more than 1, and config has no leader_election: two that both lead would both act. Set replicas=1, or add leader_election to the configuration" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{- /* A dry run takes no Lease: two of it would tell everything twice. */ -}}
{{- define "ripcord.replicas" -}}
{{- if .Values.dryRun }}1{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{- define "ripcord.port" -}}
{{- $config := include "ripcord.config" . | fromYaml -}}
{{- $http := $config.http | default dict -}}
{{- $http.listen | default "0.0.0.0:8080" | splitList ":" | last -}}
{{- end }}
