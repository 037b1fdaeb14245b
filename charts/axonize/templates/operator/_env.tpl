{{/* Secrets that the operator makes where they are missing: secret=key,key;secret=key. */}}
{{- define "axonize.madeSecrets" -}}
{{- $secrets := list -}}
{{- if not .Values.admin.existingSecret -}}
{{- $secrets = append $secrets (printf "%s=%s,%s" (include "axonize.adminSecret" .) .Values.admin.adminKeyKey .Values.admin.sessionKeyKey) -}}
{{- end -}}
{{- if and (eq .Values.stores.mode "Embedded") (not .Values.stores.existingSecret) -}}
{{- $secrets = append $secrets (printf "%s=clickhouse-password,postgres-password" (include "axonize.storesSecret" .)) -}}
{{- end -}}
{{- join ";" $secrets -}}
{{- end -}}

{{- define "axonize.bootstrapEnv" -}}
- name: AXONIZE_OPERATOR_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: AXONIZE_BOOTSTRAP_SECRETS
  value: {{ include "axonize.madeSecrets" . | quote }}
- name: AXONIZE_BOOTSTRAP_DEPLOYMENT
  value: {{ include "axonize.fullname" . }}-operator
- name: AXONIZE_BOOTSTRAP_INSTANCE
  value: {{ .Release.Name | quote }}
{{ include "axonize.commonEnv" . }}
{{- end -}}

{{- define "axonize.operatorEnv" -}}
{{- $fullname := include "axonize.fullname" . -}}
{{ include "axonize.commonEnv" . }}
{{ include "axonize.postgresEnv" . }}
- name: AXONIZE_OPERATOR_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: AXONIZE_INSTANCE
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: AXONIZE_CLUSTER
  value: {{ .Values.clusterName | quote }}
- name: AXONIZE_AGENT_NAMESPACE
  value: {{ .Values.agents.namespace | quote }}
- name: AXONIZE_AGENT_IMAGE
  value: {{ include "axonize.image" (dict "root" $ "image" .Values.agents.image) | quote }}
- name: AXONIZE_INGEST_ENDPOINT
  value: {{ $fullname }}-ingest.{{ .Release.Namespace }}.svc:{{ .Values.ingest.service.grpcPort }}
- name: AXONIZE_INJECTION_ENDPOINT
  value: http://{{ $fullname }}-ingest.{{ .Release.Namespace }}.svc:{{ .Values.ingest.service.httpPort }}
- name: AXONIZE_OPERATOR_OPS_LISTEN
  value: 0.0.0.0:8080
{{- if eq .Values.operator.metricsAccess "Authorized" }}
- name: AXONIZE_OPERATOR_METRICS_LISTEN
  value: 0.0.0.0:8443
{{- end }}
- name: AXONIZE_INJECTION
  value: {{ .Values.operator.injection | quote }}
- name: AXONIZE_WEBHOOK_LISTEN
  value: 0.0.0.0:9443
- name: AXONIZE_SECRET_ACCESS
  value: {{ .Values.rbac.secretAccess | quote }}
- name: AXONIZE_SERVICE_ACCOUNT
  value: {{ include "axonize.serviceAccountName" (dict "root" $ "component" "operator") }}
- name: AXONIZE_SECRETS_ROLE
  value: {{ $fullname }}-operator-secrets
{{- with .Values.operator.deniedNamespaces }}
- name: AXONIZE_DENIED_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
- name: AXONIZE_ALLOW_FORCED_ADOPTION
  value: {{ .Values.operator.allowForcedAdoption | quote }}
- name: AXONIZE_KUBELET_DIRECTORY
  value: {{ .Values.agents.kubeletDirectory | quote }}
- name: AXONIZE_AGENT_STATE_DIRECTORY
  value: {{ .Values.agents.stateDirectory | quote }}
- name: AXONIZE_LEASE_SECONDS
  value: {{ .Values.operator.leaseSeconds | quote }}
{{- end -}}
