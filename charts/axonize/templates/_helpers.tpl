{{/* Names. Everything else is the release's name with a suffix, so 40 characters leave room for it. */}}
{{- define "axonize.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "axonize.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "axonize.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of a component: (dict "root" $ "component" "ingest"). Selectors never change across versions. */}}
{{- define "axonize.selector" -}}
app.kubernetes.io/name: {{ include "axonize.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "axonize.labels" -}}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: axonize
{{ include "axonize.selector" . }}
{{- end -}}

{{/* metadata but the name: (dict "root" $ "component" … "annotations" (dict …)). */}}
{{- define "axonize.meta" -}}
labels:
  {{- include "axonize.labels" . | trim | nindent 2 }}
{{- $annotations := merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* metadata of a pod template: (dict "root" $ "component" … "config" .Values.x "metricsPort" 9464). */}}
{{- define "axonize.podMeta" -}}
labels:
  {{- with .config.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "axonize.selector" . | nindent 2 }}
{{- $annotations := merge (dict) (.config.podAnnotations | default dict) .root.Values.commonAnnotations }}
{{- if and .root.Values.metrics.scrapeAnnotations .metricsPort }}
{{- $annotations = merge $annotations (dict "prometheus.io/scrape" "true" "prometheus.io/path" "/metrics" "prometheus.io/port" (toString .metricsPort)) }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Image of a workload: (dict "root" $ "image" .Values.x.image). A digest wins over a tag. */}}
{{- define "axonize.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .root.Values.image.registry -}}
{{- $tag := .image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- if .image.digest -}}
{{- printf "%s/%s@%s" $registry .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s/%s:%s" $registry .image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- define "axonize.serviceAccountName" -}}
{{- printf "%s-%s" (include "axonize.fullname" .root) .component -}}
{{- end -}}

{{/* What every pod has: (dict "root" $ "component" … "config" .Values.x "token" true|false). */}}
{{- define "axonize.podSpec" -}}
serviceAccountName: {{ include "axonize.serviceAccountName" . }}
automountServiceAccountToken: {{ .token }}
enableServiceLinks: false
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .root.Values.podSecurityContext }}
  {{- if not (kindIs "invalid" .runAsUser) }}
  runAsUser: {{ int64 .runAsUser }}
  {{- end }}
  {{- if not (kindIs "invalid" .runAsGroup) }}
  runAsGroup: {{ int64 .runAsGroup }}
  {{- end }}
  {{- if not (kindIs "invalid" .fsGroup) }}
  fsGroup: {{ int64 .fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .config.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .config.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .config.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .config.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "axonize.spread" -}}
topologySpreadConstraints:
{{- if .config.topologySpreadConstraints }}
  {{- toYaml .config.topologySpreadConstraints | nindent 2 }}
{{- else }}
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "axonize.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "axonize.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end -}}

{{/* Names of the Secrets, ours or given. */}}
{{- define "axonize.adminSecret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin" (include "axonize.fullname" .)) -}}
{{- end -}}

{{- define "axonize.storesSecret" -}}
{{- .Values.stores.existingSecret | default (printf "%s-stores" (include "axonize.fullname" .)) -}}
{{- end -}}

{{/* Where the stores are. The kubelet puts the passwords in: the generated ones need no escaping. */}}
{{- define "axonize.postgresEnv" -}}
{{- if eq .Values.stores.mode "Embedded" -}}
- name: POSTGRES_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "axonize.storesSecret" . }}
      key: postgres-password
- name: AXONIZE_POSTGRES_URL
  value: postgres://app:$(POSTGRES_PASSWORD)@{{ include "axonize.fullname" . }}-stores:5432/axonize
{{- else -}}
- name: AXONIZE_POSTGRES_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.postgresql.existingSecret }}
      key: {{ .Values.postgresql.urlKey }}
{{- end -}}
{{- end -}}

{{- define "axonize.clickhouseEnv" -}}
{{- if eq .Values.stores.mode "Embedded" -}}
- name: CLICKHOUSE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "axonize.storesSecret" . }}
      key: clickhouse-password
- name: AXONIZE_CLICKHOUSE_URL
  value: http://axonize:$(CLICKHOUSE_PASSWORD)@{{ include "axonize.fullname" . }}-stores:8123/axonize
{{- else -}}
- name: AXONIZE_CLICKHOUSE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.clickhouse.existingSecret }}
      key: {{ .Values.clickhouse.urlKey }}
{{- with .Values.clickhouse.cluster }}
- name: AXONIZE_CLICKHOUSE_CLUSTER
  value: {{ . | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "axonize.adminKeyEnv" -}}
- name: AXONIZE_ADMIN_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "axonize.adminSecret" . }}
      key: {{ .Values.admin.adminKeyKey }}
{{- end -}}

{{- define "axonize.commonEnv" -}}
- name: AXONIZE_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
{{- if .Values.extraCa.existingSecret }}
- name: NODE_EXTRA_CA_CERTS
  value: /etc/axonize/ca/{{ .Values.extraCa.key }}
{{- end }}
{{- end -}}

{{/* Volumes and mounts: (dict "root" $ "config" .Values.x). */}}
{{- define "axonize.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if .root.Values.extraCa.existingSecret }}
- name: extra-ca
  secret:
    secretName: {{ .root.Values.extraCa.existingSecret }}
    items:
      - key: {{ .root.Values.extraCa.key }}
        path: {{ .root.Values.extraCa.key }}
{{- end }}
{{- with .config.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "axonize.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .root.Values.extraCa.existingSecret }}
- name: extra-ca
  mountPath: /etc/axonize/ca
  readOnly: true
{{- end }}
{{- with .config.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
