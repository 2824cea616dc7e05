{{- define "tts.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "tts.selector" -}}
app.kubernetes.io/name: tts
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tts.labels" -}}
{{ include "tts.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "tts.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "tts.onPostgresql" -}}
{{- if eq .Values.database.kind "postgresql" }}yes{{ end -}}
{{- end -}}

{{/* The largest number of pods, over which limits of callers are divided. */}}
{{- define "tts.replicas" -}}
{{- if not (include "tts.onPostgresql" .) }}1
{{- else if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}
{{- else }}{{ .Values.replicas }}{{ end -}}
{{- end -}}

{{/* What the schema cannot say. */}}
{{- define "tts.check" -}}
{{- if include "tts.onPostgresql" . -}}
{{- $_ := required "database.urlSecret.name: the Secret with the connection string must be set for postgresql" .Values.database.urlSecret.name -}}
{{- $_ := required "ca.secret: the Secret with the CA must be set for postgresql" .Values.ca.secret -}}
{{- $_ := required "masterKeys.secret: the Secret with the master keys must be set for postgresql" .Values.masterKeys.secret -}}
{{- end -}}
{{- if and (not .Values.tls.secret) (not .Values.trustedProxies) -}}
{{- fail "tls.secret or trustedProxies must be set: tokens never cross a network in clear" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.tlsSecret) -}}
{{- fail "ingress.tlsSecret: the Secret with the certificate of ingress.host must be set" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host must be set" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.trustedProxies) -}}
{{- fail "trustedProxies: the networks of the pods of the ingress controller must be set for ingress.enabled" -}}
{{- end -}}
{{- end -}}

{{/* A ConfigMap is readable by everybody who may read the objects of the namespace. */}}
{{- define "tts.checkSecrets" -}}
{{- $config := .Values.config -}}
{{- $found := list -}}
{{- if hasKey $config "master_key" }}{{ $found = append $found "config.master_key" }}{{ end -}}
{{- if hasKey (get $config "store" | default dict) "url" }}{{ $found = append $found "config.store.url" }}{{ end -}}
{{- if hasKey (get $config "ca" | default dict) "passphrase" }}{{ $found = append $found "config.ca.passphrase" }}{{ end -}}
{{- range $id, $provider := get $config "providers" | default dict -}}
{{- if hasKey ($provider | default dict) "client_secret" -}}
{{- $found = append $found (printf "config.providers.%s.client_secret" $id) -}}
{{- end -}}
{{- if hasKey (get ($provider | default dict) "delegation" | default dict) "client_secret" -}}
{{- $found = append $found (printf "config.providers.%s.delegation.client_secret" $id) -}}
{{- end -}}
{{- end -}}
{{- if hasKey (get (get $config "delegations" | default dict) "notice" | default dict) "webhook_url" -}}
{{- $found = append $found "config.delegations.notice.webhook_url" -}}
{{- end -}}
{{- with $found -}}
{{- fail (printf "%s: a ConfigMap must not hold a secret; name a file of a Secret (values `secrets`)" (first .)) -}}
{{- end -}}
{{- end -}}

{{- define "tts.pod" -}}
metadata:
  labels:
    {{- include "tts.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    # A change of the configuration replaces the pods.
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "tts.name" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # SIGTERM: requests that run have 20 s (limits.shutdown_seconds), refreshes of tokens up to 135.
  terminationGracePeriodSeconds: 180
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    fsGroup: 1000
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- with .Values.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpread }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{ include "tts.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  volumes:
    - name: config
      configMap: { name: {{ include "tts.name" . }} }
    # Plugins that are programs get a directory in it for each run.
    - name: tmp
      emptyDir: { medium: Memory, sizeLimit: 64Mi }
    {{- if include "tts.onPostgresql" . }}
    # Nothing in it must outlive the pod. In memory: the key of the CA is never on the disk of a node.
    - name: data
      emptyDir: { medium: Memory, sizeLimit: 64Mi }
    {{- else if .Values.persistence.existingClaim }}
    - name: data
      persistentVolumeClaim: { claimName: {{ .Values.persistence.existingClaim }} }
    {{- end }}
    {{- with .Values.ca.secret }}
    - name: ca
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- with .Values.sshCa.secret }}
    - name: ssh-ca
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- with .Values.masterKeys.secret }}
    - name: master-keys
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- if include "tts.onPostgresql" . }}
    - name: database
      secret: { secretName: {{ .Values.database.urlSecret.name }}, defaultMode: 0440 }
    {{- end }}
    {{- with .Values.tls.secret }}
    - name: tls
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- range .Values.secrets }}
    - name: secret-{{ . }}
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
  {{- $copied := list }}
  {{- if .Values.ca.secret }}{{ $copied = append $copied "ca" }}{{ end }}
  {{- if .Values.sshCa.secret }}{{ $copied = append $copied "ssh-ca" }}{{ end }}
  {{- with $copied }}
  initContainers:
    # The service reads its CA in the data directory, where it must be private to its own user.
    - name: copy-ca
      image: {{ include "tts.image" $ }}
      imagePullPolicy: {{ $.Values.image.pullPolicy }}
      command: [sh, -euc]
      args:
        - |
          umask 077
          for name in {{ join " " . }}; do
            mkdir -p "/data/$name"
            for file in "/secrets/$name"/*; do
              cp "$file" "/data/$name/.new" && mv "/data/$name/.new" "/data/$name/${file##*/}"
            done
          done
      securityContext: {{ include "tts.confined" $ | nindent 8 }}
      resources:
        requests: { cpu: 10m, memory: 16Mi }
        limits: { memory: 64Mi }
      volumeMounts:
        - { name: data, mountPath: /data }
        {{- range . }}
        - { name: {{ . }}, mountPath: /secrets/{{ . }}, readOnly: true }
        {{- end }}
  {{- end }}
  containers:
    - name: tts
      image: {{ include "tts.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/tts/tts.yaml]
      env:
        # Values are YAML: `::` without quotes would be a mapping.
        - { name: TTS_DATA_DIR, value: /data }
        - { name: TTS_TRUSTED_GROUP, value: '1000' }
        - { name: TTS_LISTEN__HOST, value: {{ .Values.listenAddress | toJson | quote }} }
        - { name: TTS_LISTEN__PORT, value: '8443' }
        - { name: TTS_LISTEN__PLAIN__HOST, value: {{ .Values.listenAddress | toJson | quote }} }
        - { name: TTS_LISTEN__PLAIN__PORT, value: '8080' }
        - { name: TTS_LIMITS__REPLICAS, value: {{ include "tts.replicas" . | quote }} }
        {{- with .Values.trustedProxies }}
        - { name: TTS_LISTEN__TRUSTED_PROXIES, value: {{ toJson . | quote }} }
        {{- end }}
        {{- if .Values.tls.secret }}
        - { name: TTS_LISTEN__TLS_CERTIFICATE_FILE, value: /etc/tts/tls/tls.crt }
        - { name: TTS_LISTEN__TLS_KEY_FILE, value: /etc/tts/tls/tls.key }
        {{- end }}
        {{- if include "tts.onPostgresql" . }}
        - { name: TTS_STORE__URL_FILE, value: {{ printf "/etc/tts/database/%s" .Values.database.urlSecret.key }} }
        {{- end }}
        {{- if .Values.masterKeys.secret }}
        - { name: TTS_MASTER_KEY_FILE, value: {{ printf "/etc/tts/master-keys/%s" .Values.masterKeys.key }} }
        {{- end }}
        {{- with .Values.env }}{{ toYaml . | nindent 8 }}{{ end }}
      ports:
        - { name: tokens, containerPort: 8443 }
        - { name: public, containerPort: 8080 }
      startupProbe:
        httpGet: { path: /healthz, port: public }
        periodSeconds: 1
        failureThreshold: 120
      readinessProbe:
        httpGet: { path: /readyz, port: public }
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      livenessProbe:
        httpGet: { path: /healthz, port: public }
        periodSeconds: 20
        timeoutSeconds: 5
        failureThreshold: 6
      lifecycle:
        # Until every proxy in front knows that this pod is going away.
        preStop: { sleep: { seconds: 5 } }
      securityContext: {{ include "tts.confined" . | nindent 8 }}
      resources: {{ toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - { name: config, mountPath: /etc/tts/tts.yaml, subPath: tts.yaml, readOnly: true }
        - { name: data, mountPath: /data }
        - { name: tmp, mountPath: /tmp }
        {{- if .Values.masterKeys.secret }}
        - { name: master-keys, mountPath: /etc/tts/master-keys, readOnly: true }
        {{- end }}
        {{- if include "tts.onPostgresql" . }}
        - { name: database, mountPath: /etc/tts/database, readOnly: true }
        {{- end }}
        {{- if .Values.tls.secret }}
        - { name: tls, mountPath: /etc/tts/tls, readOnly: true }
        {{- end }}
        {{- range .Values.secrets }}
        - { name: secret-{{ . }}, mountPath: /etc/tts/secrets/{{ . }}, readOnly: true }
        {{- end }}
{{- end -}}

{{- define "tts.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}
