{{/* Never `certcache` alone: for a Service of that name Kubernetes sets variables such as CERTCACHE_PORT in pods. */}}
{{- define "certcache.name" -}}
{{- printf "%s-proxies" (.Release.Name | trunc 44 | trimSuffix "-") -}}
{{- end -}}

{{- define "certcache.selector" -}}
app.kubernetes.io/name: certcache
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "certcache.labels" -}}
{{ include "certcache.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "certcache.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "certcache.check" -}}
{{- $_ := required "serviceUrl: the URL of the Token Translation Service must be set" .Values.serviceUrl -}}
{{- $_ := required "source.secret: the Secret that certcache renews with must be set" .Values.source.secret -}}
{{- if and (gt (int .Values.replicas) 1) (ne .Values.state.kind "postgresql") -}}
{{- fail "replicas above 1 need state.kind: postgresql: a state in files is for a single certcache" -}}
{{- end -}}
{{- if eq .Values.state.kind "postgresql" -}}
{{- $_ := required "state.secret: the Secret with url and key of the database must be set" .Values.state.secret -}}
{{- end -}}
{{- if and (eq .Values.source.kind "refresh") (eq .Values.state.kind "memory") -}}
{{- fail "source.kind: refresh needs state.kind volume or postgresql: a rotated refresh token would be lost with the pod" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.server.enabled) -}}
{{- fail "serviceMonitor.enabled needs server.enabled: without the server certcache listens inside its pod only" -}}
{{- end -}}
{{- if and (eq .Values.source.kind "refresh") (not .Values.source.issuer) -}}
{{- fail "source.issuer: the issuer URL of the provider must be set for source.kind refresh" -}}
{{- end -}}
{{- range $section, $keys := dict "source" (list "token" "renewal_secret" "client_secret" "refresh_token") "access" (list "secret") "state" (list "url") -}}
{{- range $keys -}}
{{- if hasKey (get $.Values.config $section | default dict) . -}}
{{- fail (printf "config.%s.%s: a ConfigMap must not hold a secret; name a Secret by source, state and server" $section .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $seen := dict -}}
{{- range .Values.proxySecrets -}}
{{- $id := printf "%s/%s" (.namespace | default $.Release.Namespace) .name -}}
{{- if hasKey $seen $id }}{{ fail (printf "proxySecrets: %s is named twice" $id) }}{{ end -}}
{{- $_ := set $seen $id true -}}
{{- end -}}
{{- if .Values.server.enabled -}}
{{- $_ := required "server.tlsSecret must be set: private keys are served over TLS only" .Values.server.tlsSecret -}}
{{- if and (not .Values.server.clientSecret) (not .Values.server.allow) -}}
{{- fail "server.clientSecret or server.allow must be set: whoever fetches a proxy can act as its owner" -}}
{{- end -}}
{{- else if not .Values.proxySecrets -}}
{{- fail "server.enabled is false and there are no proxySecrets: nobody would get a proxy" -}}
{{- end -}}
{{- end -}}

{{/* Settings that are lists or maps, in the form of the settings file. */}}
{{- define "certcache.settings" -}}
{{- $settings := deepCopy .Values.config -}}
{{- if .Values.proxySecrets -}}
{{- $proxies := deepCopy (get $settings "proxies" | default (dict "gwms_proxy" dict)) -}}
{{- range .Values.proxySecrets -}}
{{- $name := .proxy | default (keys $proxies | sortAlpha | first) -}}
{{- if not (hasKey $proxies $name) }}{{ fail (printf "proxySecrets: config.proxies has no proxy %s" $name) }}{{ end -}}
{{- $proxy := get $proxies $name | default dict -}}
{{- $secrets := append (get $proxy "kubernetes_secrets" | default list) (pick . "name" "namespace" "key" "restart") -}}
{{- $_ := set $proxies $name (merge (dict "kubernetes_secrets" $secrets) $proxy) -}}
{{- end -}}
{{- $_ := set $settings "proxies" $proxies -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* A map from the namespace to its entries of proxySecrets, as YAML. */}}
{{- define "certcache.secretsByNamespace" -}}
{{- $byNamespace := dict -}}
{{- range .Values.proxySecrets -}}
{{- $namespace := .namespace | default $.Release.Namespace -}}
{{- $_ := set $byNamespace $namespace (append (get $byNamespace $namespace | default list) .) -}}
{{- end -}}
{{- toYaml $byNamespace -}}
{{- end -}}
