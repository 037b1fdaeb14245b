{{/* Ways in from outside: (dict "root" $ "component" … "config" .Values.x "port" <port name> "path" …). */}}
{{- define "axonize.ingress" -}}
{{- with .config.ingress -}}
{{- if .enabled -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ include "axonize.fullname" $.root }}-{{ $.component }}
  namespace: {{ $.root.Release.Namespace }}
  {{- include "axonize.meta" (dict "root" $.root "component" $.component "annotations" .annotations) | nindent 2 }}
spec:
  {{- with .className }}
  ingressClassName: {{ . }}
  {{- end }}
  rules:
    {{- range .hosts }}
    - host: {{ . | quote }}
      http:
        paths:
          - path: {{ $.path | default "/" }}
            pathType: Prefix
            backend:
              service:
                name: {{ include "axonize.fullname" $.root }}-{{ $.component }}
                port:
                  name: {{ $.port }}
    {{- end }}
  {{- with .tls }}
  tls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A route of the Gateway API: (dict … "kind" … "route" … "name" … "port" <number> "path" …). */}}
{{- define "axonize.route" -}}
apiVersion: gateway.networking.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ include "axonize.fullname" .root }}-{{ .component }}-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "axonize.meta" (dict "root" .root "component" .component "annotations" .route.annotations) | nindent 2 }}
spec:
  parentRefs:
    {{- toYaml .route.parentRefs | nindent 4 }}
  {{- with .route.hostnames }}
  hostnames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    - backendRefs:
        - name: {{ include "axonize.fullname" .root }}-{{ .component }}
          port: {{ .port }}
      {{- if .path }}
      matches:
        - path:
            type: PathPrefix
            value: {{ .path | quote }}
      {{- end }}
{{- end -}}
