{{/* policy, webhook or off. `helm template` knows no cluster: there `auto` is the webhook, which every cluster has. */}}
{{- define "axonize.injection" -}}
{{- if ne .Values.operator.injection "auto" -}}
{{- .Values.operator.injection -}}
{{- else if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
policy
{{- else -}}
webhook
{{- end -}}
{{- end -}}
