{{/* Path of dashboard.publicUrl: what Ingress and route pass on as it is. */}}
{{- define "axonize.basePath" -}}
{{- with .Values.dashboard.publicUrl -}}
{{- (urlParse .).path | trimSuffix "/" -}}
{{- end -}}
{{- end -}}

{{- define "axonize.loginEnv" -}}
{{- with .Values.dashboard.publicUrl }}
- name: AXONIZE_PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.dashboard.oidc }}
{{- if .issuer }}
- name: AXONIZE_OIDC_ISSUER
  value: {{ .issuer | quote }}
- name: AXONIZE_OIDC_CLIENT_ID
  value: {{ .clientId | quote }}
{{- if .existingSecret }}
- name: AXONIZE_OIDC_CLIENT_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .clientSecretKey }}
{{- end }}
- name: AXONIZE_OIDC_SCOPES
  value: {{ .scopes | quote }}
- name: AXONIZE_OIDC_GROUPS_CLAIM
  value: {{ .groupsClaim | quote }}
- name: AXONIZE_OIDC_LABEL
  value: {{ .label | quote }}
- name: AXONIZE_OIDC_ROLES
  value: {{ .roles | toJson | quote }}
- name: AXONIZE_SESSION_HOURS
  value: {{ .sessionHours | quote }}
- name: AXONIZE_SESSION_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "axonize.adminSecret" $ }}
      key: {{ $.Values.admin.sessionKeyKey }}
{{- end }}
{{- end }}
{{- end -}}
