#!/bin/sh
# get-proxy.sh: fetches a proxy from a certcache. Needs a POSIX shell and curl; uses openssl if it is installed.
#
#   CERTCACHE_URL=https://cache.example.org:8081 get-proxy.sh          prints the path of the proxy
#   CERTCACHE_URL=... get-proxy.sh condor_master -f                    fetches it, then runs the command with it
#   export CERTCACHE_URL=...; . ./get-proxy.sh                         fetches it and sets X509_USER_PROXY in this shell
#
# The settings are variables, so that the script can be sourced in every shell:
#   CERTCACHE_URL            address of the certcache: http://..., https://... or unix:/path/of/socket (default: PROXY_CACHE)
#   CERTCACHE_SECRET_FILE    file with its secret, if it has one; not sent over plain http to another machine
#   CERTCACHE_WORKER_OUT     file for the proxy (default: X509_USER_PROXY, then /tmp/x509up_u$ID)
#   CERTCACHE_WORKER_NAME    name of the proxy (default: the first proxy of the certcache)
#   CERTCACHE_WORKER_WAIT    time limit in seconds for all attempts (default: 600)
#   CERTCACHE_WORKER_VALID   seconds for which the proxy must be valid, checked with openssl (default: 600)
#   CERTCACHE_WORKER_CACERT  PEM file of the CAs that may issue its TLS certificate (default: those of curl)
#   CERTCACHE_WORKER_CERT, CERTCACHE_WORKER_KEY   TLS client certificate and its key
#   CERTCACHE_WORKER_QUIET   1: print only the final error
#
# The file is written with mode 0600 and renamed to its path, so readers see the complete old file or the complete new one.
# After a failure the old file stays.
#
# With `set -e`, a failure ends the shell that sources this script. dash and busybox exit even inside `if` or before `||`.
#
# Exit (or return) codes:
#   0 done   1 the file cannot be written   2 wrong settings   3 secret, certificate or address refused
#   4 the certcache had no valid proxy in time, or cannot be reached   5 no proxy has this name
#   6 the last answer was not a valid proxy

# Runs in a subshell, so that only X509_USER_PROXY changes in the shell that sources this script.
certcache_get_proxy() (
  unset IFS
  set +e +f +u +C
  umask 077

  say() { printf 'get-proxy: %s\n' "$*" >&2; }
  note() { [ "${CERTCACHE_WORKER_QUIET:-}" = 1 ] || say "$@"; }
  fail() {
    code=$1
    shift
    say "$@"
    exit "$code"
  }
  check_seconds() { # value, name of the variable
    case $1 in '' | *[!0-9]* | ??????????*) fail 2 "$2 must be a number of seconds" ;; esac
  }

  check_settings() {
    url=${CERTCACHE_URL:-${PROXY_CACHE:-}}
    out=${CERTCACHE_WORKER_OUT:-${X509_USER_PROXY:-/tmp/x509up_u$(id -u)}}
    wait_seconds=${CERTCACHE_WORKER_WAIT:-600}
    valid=${CERTCACHE_WORKER_VALID:-600}
    name=${CERTCACHE_WORKER_NAME:-}
    secret_file=${CERTCACHE_SECRET_FILE:-}
    command -v curl >/dev/null 2>&1 || fail 2 'curl is required'
    [ -n "$url" ] || fail 2 'CERTCACHE_URL must be set to the address of the certcache'
    check_seconds "$wait_seconds" CERTCACHE_WORKER_WAIT
    check_seconds "$valid" CERTCACHE_WORKER_VALID
    case $name in *[!A-Za-z0-9._-]*) fail 2 'CERTCACHE_WORKER_NAME must be the name of a proxy' ;; esac
    # These characters would break the lines of the configuration for curl.
    case $url$out in *[\"\\[:cntrl:]]*) fail 2 'URL and file name must not contain quotes, backslashes or control characters' ;; esac
    parse_url
    [ -z "$secret_file" ] || [ -r "$secret_file" ] || fail 2 "CERTCACHE_SECRET_FILE: $secret_file cannot be read"
    if [ -n "$unencrypted" ]; then
      [ -z "$secret_file" ] || fail 2 'CERTCACHE_URL must be https: the secret is not sent over plain http'
      note 'warning: with plain http the private key of the proxy crosses the network unencrypted'
    fi
  }

  parse_url() {
    socket=
    unencrypted=
    base=$url
    case $url in
      unix:/*) socket=${url#unix:} base=http://localhost ;;
      https://?*) ;;
      http://?*) is_loopback || unencrypted=1 ;;
      *) fail 2 'CERTCACHE_URL must begin with http://, https:// or unix:/' ;;
    esac
    while [ "$base" != "${base%/}" ]; do base=${base%/}; done
  }

  # Whether a plain http URL names this machine. http://127.0.0.1@host and http://127.0.0.1.host do not.
  is_loopback() {
    host=${url#http://}
    host=${host%%[/?#]*}
    host=${host##*@}
    case $host in
      localhost | localhost:* | '[::1]' | '[::1]:'*) return 0 ;;
      127.*) case ${host%:*} in *[!0-9.]*) return 1 ;; esac ;;
      *) return 1 ;;
    esac
  }

  # Creates a private directory next to the proxy, so that the file can be renamed to its final path. mkdir fails if the name
  # exists, even as a link that another user made.
  make_directory() {
    [ ! -h "$out" ] || fail 1 "$out is a symbolic link, and private keys are not written through links"
    [ ! -d "$out" ] || fail 1 "$out is a directory"
    case $out in */*) directory=${out%/*}/ ;; *) directory=./ ;; esac
    for try in 1 2 3 4 5 6 7 8 9; do
      work=${directory}.get-proxy-$$-$try
      if mkdir "$work" 2>/dev/null; then
        fetched=$work/proxy
        return 0
      fi
    done
    work=
    fail 1 "$directory cannot be written"
  }

  # Called by the trap.
  # shellcheck disable=SC2317
  clean_up() { [ -z "${work:-}" ] || command rm -rf "$work"; }

  # Passes the secret and the URL to curl on standard input, so that they are not in the process list.
  curl_settings() {
    printf 'url = "%s/get_proxy%s"\n' "$base" "${name:+/$name}"
    [ -z "$secret_file" ] ||
      sed -n -e '1{s/[\\"]/\\&/g;s/^/header = "Authorization: Bearer /;s/[[:space:]]*$/"/;p;}' "$secret_file"
  }

  # Sets `status` to the HTTP status (000 for none) and `curl_code` to the exit code of curl.
  request() {
    limit=$((deadline - $(date +%s)))
    [ "$limit" -le 60 ] || limit=60
    [ "$limit" -ge 5 ] || limit=5
    set -- -q --silent --show-error --config - --output "$fetched" --write-out '%{http_code}' \
      --connect-timeout 10 --max-time "$limit" --max-filesize 262144 --proto '=http,https'
    # A forward proxy would see the private key, and Squid would cache it.
    case $base in http://*) set -- "$@" --noproxy '*' ;; esac
    [ -z "$socket" ] || set -- "$@" --unix-socket "$socket"
    [ -z "${CERTCACHE_WORKER_CACERT:-}" ] || set -- "$@" --cacert "$CERTCACHE_WORKER_CACERT"
    [ -z "${CERTCACHE_WORKER_CERT:-}" ] || set -- "$@" --cert "$CERTCACHE_WORKER_CERT"
    [ -z "${CERTCACHE_WORKER_KEY:-}" ] || set -- "$@" --key "$CERTCACHE_WORKER_KEY"
    : >"$fetched"
    # curl cannot limit a response without Content-Length. 1024 blocks (512 KiB to 1 MiB) are more than any proxy file needs.
    status=$(curl_settings | {
      ulimit -f 1024 2>/dev/null
      curl "$@" 2>"$work/curl_error" || printf ' %s' "$?"
    })
    curl_code=0
    case $status in *' '*) curl_code=${status##* } status=${status%% *} ;; esac
    curl_error=$(sed -n '1s/^curl: //p' "$work/curl_error")
  }

  # Prints the first line of an error response, in which the certcache gives the reason.
  reason() {
    case $(sed -n '1p' "$fetched") in
      *-----*) ;;
      *) sed -n '1{s/[^[:print:]]//g;s/\(.\{200\}\).*/\1/;p;}' "$fetched" ;;
    esac
  }

  # Sets `problem`; empty if the file is a complete proxy that is valid for long enough.
  check() {
    problem=
    begins=$(grep -c '^-----BEGIN CERTIFICATE-----$' "$fetched")
    ends=$(grep -c '^-----END CERTIFICATE-----$' "$fetched")
    keys=$(grep -c '^-----END .*PRIVATE KEY-----$' "$fetched")
    if [ "$begins" -lt 2 ] || [ "$begins" -ne "$ends" ] || [ "$keys" -ne 1 ] ||
      [ "$(sed -n '1p' "$fetched")" != '-----BEGIN CERTIFICATE-----' ] ||
      [ "$(sed -n '$p' "$fetched")" != '-----END CERTIFICATE-----' ]; then
      problem='it is not a complete proxy file'
    elif command -v openssl >/dev/null 2>&1; then
      check_with_openssl
    fi
  }

  check_with_openssl() {
    block=
    count=0
    : >"$work/above"
    while IFS= read -r line; do
      case $line in '-----BEGIN '*) block= ;; esac
      block="$block$line
"
      [ "$line" = '-----END CERTIFICATE-----' ] || continue
      count=$((count + 1))
      [ "$count" -eq 1 ] || printf '%s' "$block" >>"$work/above"
      if ! printf '%s' "$block" | openssl x509 -noout -checkend "$valid" >/dev/null 2>&1; then
        problem="certificate $count cannot be read or expires within $valid seconds"
        return
      fi
    done <"$fetched"
    own=$(openssl x509 -in "$fetched" -noout -pubkey 2>/dev/null)
    if [ -z "$own" ] || [ "$own" != "$(openssl pkey -in "$fetched" -pubout 2>/dev/null)" ]; then
      problem='the private key does not match the certificate'
      return
    fi
    verdict=$(openssl verify -partial_chain -allow_proxy_certs -CAfile "$work/above" "$fetched" 2>&1) && return
    # 7: wrong signature; 2, 20, 21: the issuer is not the next certificate. Other errors are for relying parties to judge.
    case $verdict in *'error 7 at'* | *'error 2 at'* | *'error 20 at'* | *'error 21 at'*)
      problem='the certificates are not a chain' ;;
    esac
  }

  refuse_length() {
    last_code=6
    last='the answer is far too long'
    return 1
  }

  # Succeeds for a valid proxy. Otherwise sets `last` and `last_code`, the error after the last attempt, or exits if
  # a further attempt cannot help.
  evaluate() {
    last_code=4
    case $curl_code in
      0) ;;
      23) fail 1 "$out cannot be written: ${curl_error:-no space}" ;;
      1 | 2 | 3 | 4 | 26 | 58 | 77) fail 2 "curl refuses the settings: ${curl_error:-code $curl_code}" ;;
      51 | 60 | 83 | 90 | 91) fail 4 "the TLS certificate of the certcache is not trusted: ${curl_error:-code $curl_code}" ;;
      63) refuse_length || return 1 ;;
      1[3-9][0-9])
        [ "$(wc -c <"$fetched")" -lt 262144 ] || refuse_length || return 1
        fail 1 "$out cannot be written: curl was killed by signal $((curl_code - 128))"
        ;;
      *)
        last="the certcache cannot be reached: ${curl_error:-code $curl_code}"
        return 1
        ;;
    esac
    case $status in
      200) ;;
      401 | 403) fail 3 "refused ($status): $(reason)" ;;
      404) fail 5 "not found (404): $(reason)" ;;
      *)
        last="$status: $(reason)"
        return 1
        ;;
    esac
    check
    [ -n "$problem" ] || return 0
    last_code=6
    last="the answer is not a valid proxy: $problem"
    return 1
  }

  check_settings
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  make_directory
  deadline=$(($(date +%s) + wait_seconds))
  slept=0
  pause=1
  while :; do
    request
    if evaluate; then break; fi
    left=$((deadline - $(date +%s)))
    # The clock may have been set back.
    [ "$left" -le "$((wait_seconds - slept))" ] || left=$((wait_seconds - slept))
    [ "$left" -gt 0 ] || fail "$last_code" "gave up after $wait_seconds seconds; $last"
    # The process id spreads the retries of containers that were started at the same time.
    rest=$((pause + $$ % (pause + 1)))
    [ "$rest" -le "$left" ] || rest=$left
    note "$last; next try in $rest s"
    sleep "$rest"
    slept=$((slept + rest))
    [ "$pause" -ge 30 ] || pause=$((pause * 2))
  done
  command chmod 600 "$fetched" || fail 1 "the mode of $fetched cannot be set"
  command mv -f "$fetched" "$out" || fail 1 "$out cannot be written"
  printf '%s\n' "$out"
)

case ${0##*/} in get-proxy.sh | get-proxy)
  case ${1:-} in -h | --help)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  esac
  ;;
esac
if certcache_proxy=$(certcache_get_proxy); then
  X509_USER_PROXY=$certcache_proxy
  export X509_USER_PROXY
  certcache_status=0
else
  certcache_status=$?
fi
case ${0##*/} in
  get-proxy.sh | get-proxy)
    [ "$certcache_status" -eq 0 ] || exit "$certcache_status"
    [ "$#" -eq 0 ] || exec "$@"
    printf '%s\n' "$X509_USER_PROXY"
    ;;
  *)
    unset certcache_proxy
    unset -f certcache_get_proxy
    return "$certcache_status"
    ;;
esac
