#!/bin/sh
# get-proxy.sh: fetches a fresh proxy from a certcache. Needs a POSIX shell and curl; uses openssl where it is there.
#
#   CERTCACHE_URL=https://cache.example.org:8081 get-proxy.sh          prints the path of the proxy
#   CERTCACHE_URL=... get-proxy.sh condor_master -f                    fetches it, then runs the command with it
#   export CERTCACHE_URL=...; . ./get-proxy.sh                         fetches it and sets X509_USER_PROXY here
#
# Settings are variables, so that sourcing works in every shell:
#   CERTCACHE_URL            where the certcache is: http://..., https://..., or unix:/path/of/socket; else PROXY_CACHE
#   CERTCACHE_SECRET_FILE    file with its secret, where it has one; not sent over plain http to another machine
#   CERTCACHE_WORKER_OUT     where the proxy goes; else X509_USER_PROXY, else /tmp/x509up_u$ID
#   CERTCACHE_WORKER_NAME    one of several proxies, by its name; else the first
#   CERTCACHE_WORKER_WAIT    seconds to wait in all until there is one; else 600
#   CERTCACHE_WORKER_VALID   seconds of life that it must have left (looked at with openssl); else 600
#   CERTCACHE_WORKER_CACERT  CAs, in PEM, that the certcache's TLS certificate is from; else curl's own
#   CERTCACHE_WORKER_CERT, CERTCACHE_WORKER_KEY   TLS client certificate and its key
#   CERTCACHE_WORKER_QUIET   1: say nothing but what fails for good
#
# The file is written with mode 0600 beside its place and put there by rename: whoever reads it sees the old or the new
# one, whole. When anything fails the old file stays.
#
# With `set -e` a failure ends the shell that sources it; dash and busybox end even where `if` or `||` stand around it.
#
# Exit (or return) codes:
#   0 done   1 the file cannot be written   2 wrong settings   3 refused: the secret, the certificate or the address
#   4 the certcache had no valid proxy in time, or cannot be reached   5 it has no proxy of this name
#   6 what it answered until the end was not a valid proxy

# All of it runs in a subshell: of the shell that sources this nothing is changed but X509_USER_PROXY.
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
  seconds() { # value, name of the variable
    case $1 in '' | *[!0-9]* | ??????????*) fail 2 "$2 is not a number of seconds" ;; esac
  }

  check_settings() {
    url=${CERTCACHE_URL:-${PROXY_CACHE:-}}
    out=${CERTCACHE_WORKER_OUT:-${X509_USER_PROXY:-/tmp/x509up_u$(id -u)}}
    patience=${CERTCACHE_WORKER_WAIT:-600}
    valid=${CERTCACHE_WORKER_VALID:-600}
    name=${CERTCACHE_WORKER_NAME:-}
    secret_file=${CERTCACHE_SECRET_FILE:-}
    command -v curl >/dev/null 2>&1 || fail 2 'curl is needed'
    [ -n "$url" ] || fail 2 'CERTCACHE_URL is not set: where is the certcache?'
    seconds "$patience" CERTCACHE_WORKER_WAIT
    seconds "$valid" CERTCACHE_WORKER_VALID
    case $name in *[!A-Za-z0-9._-]*) fail 2 'CERTCACHE_WORKER_NAME is not the name of a proxy' ;; esac
    # They would end the line of curl's configuration that they stand in.
    case $url$out in *[\"\\[:cntrl:]]*) fail 2 'quotes, backslashes and control characters are not taken' ;; esac
    find_certcache
    [ -z "$secret_file" ] || [ -r "$secret_file" ] || fail 2 "the secret file cannot be read: $secret_file"
    if [ -n "$in_clear" ]; then
      [ -z "$secret_file" ] || fail 2 'the secret is not sent over plain http: use https'
      note 'plain http: the private key of the proxy crosses the network in clear'
    fi
  }

  find_certcache() {
    socket=
    in_clear=
    base=$url
    case $url in
      unix:/*) socket=${url#unix:} base=http://localhost ;;
      https://?*) ;;
      http://?*) stays_here || in_clear=1 ;;
      *) fail 2 'CERTCACHE_URL is none of http://..., https://..., unix:/...' ;;
    esac
    while [ "$base" != "${base%/}" ]; do base=${base%/}; done
  }

  # Whether a plain http URL names this machine; http://127.0.0.1@elsewhere and http://127.0.0.1.elsewhere do not.
  stays_here() {
    host=${url#http://}
    host=${host%%[/?#]*}
    host=${host##*@}
    case $host in
      localhost | localhost:* | '[::1]' | '[::1]:'*) return 0 ;;
      127.*) case ${host%:*} in *[!0-9.]*) return 1 ;; esac ;;
      *) return 1 ;;
    esac
  }

  # A directory of our own beside the proxy, so that what is in it can be renamed to its place. mkdir uses nothing that is
  # there already, be it a link that somebody has laid.
  make_room() {
    [ ! -h "$out" ] || fail 1 "$out is a symbolic link; a private key is not written through links"
    [ ! -d "$out" ] || fail 1 "$out is a directory"
    case $out in */*) directory=${out%/*}/ ;; *) directory=./ ;; esac
    for try in 1 2 3 4 5 6 7 8 9; do
      room=${directory}.get-proxy-$$-$try
      if mkdir "$room" 2>/dev/null; then
        fetched=$room/proxy
        return 0
      fi
    done
    room=
    fail 1 "nothing can be written in $directory"
  }

  # Reached by the trap.
  # shellcheck disable=SC2317
  clean_up() { [ -z "${room:-}" ] || command rm -rf "$room"; }

  # What must not be seen in the list of processes goes to curl by its standard input.
  curl_settings() {
    printf 'url = "%s/get_proxy%s"\n' "$base" "${name:+/$name}"
    [ -z "$secret_file" ] ||
      sed -n -e '1{s/[\\"]/\\&/g;s/^/header = "Authorization: Bearer /;s/[[:space:]]*$/"/;p;}' "$secret_file"
  }

  # Sets `status` to the HTTP status, 000 for none, and `why` to the code of curl.
  ask() {
    limit=$((deadline - $(date +%s)))
    [ "$limit" -le 60 ] || limit=60
    [ "$limit" -ge 5 ] || limit=5
    set -- -q --silent --show-error --config - --output "$fetched" --write-out '%{http_code}' \
      --connect-timeout 10 --max-time "$limit" --max-filesize 262144 --proto '=http,https'
    # A proxy on the way would see the private key, and Squid would keep it.
    case $base in http://*) set -- "$@" --noproxy '*' ;; esac
    [ -z "$socket" ] || set -- "$@" --unix-socket "$socket"
    [ -z "${CERTCACHE_WORKER_CACERT:-}" ] || set -- "$@" --cacert "$CERTCACHE_WORKER_CACERT"
    [ -z "${CERTCACHE_WORKER_CERT:-}" ] || set -- "$@" --cert "$CERTCACHE_WORKER_CERT"
    [ -z "${CERTCACHE_WORKER_KEY:-}" ] || set -- "$@" --key "$CERTCACHE_WORKER_KEY"
    : >"$fetched"
    # What has no length in its header is not measured by curl: 1024 blocks, 512 KiB to 1 MiB, are more than any proxy has.
    status=$(curl_settings | {
      ulimit -f 1024 2>/dev/null
      curl "$@" 2>"$room/words" || printf ' %s' "$?"
    })
    why=0
    case $status in *' '*) why=${status##* } status=${status%% *} ;; esac
    words=$(sed -n '1s/^curl: //p' "$room/words")
  }

  # The first line of what is no proxy: the certcache says there why.
  sentence() {
    case $(sed -n '1p' "$fetched") in
      *-----*) ;;
      *) sed -n '1{s/[^[:print:]]//g;s/\(.\{200\}\).*/\1/;p;}' "$fetched" ;;
    esac
  }

  # Sets `problem`; empty when the file is a whole proxy that lives long enough.
  look_at() {
    problem=
    begins=$(grep -c '^-----BEGIN CERTIFICATE-----$' "$fetched")
    ends=$(grep -c '^-----END CERTIFICATE-----$' "$fetched")
    keys=$(grep -c '^-----END .*PRIVATE KEY-----$' "$fetched")
    if [ "$begins" -lt 2 ] || [ "$begins" -ne "$ends" ] || [ "$keys" -ne 1 ] ||
      [ "$(sed -n '1p' "$fetched")" != '-----BEGIN CERTIFICATE-----' ] ||
      [ "$(sed -n '$p' "$fetched")" != '-----END CERTIFICATE-----' ]; then
      problem='that is not a whole proxy file'
    elif command -v openssl >/dev/null 2>&1; then
      judge
    fi
  }

  judge() {
    block=
    count=0
    : >"$room/above"
    while IFS= read -r line; do
      case $line in '-----BEGIN '*) block= ;; esac
      block="$block$line
"
      [ "$line" = '-----END CERTIFICATE-----' ] || continue
      count=$((count + 1))
      [ "$count" -eq 1 ] || printf '%s' "$block" >>"$room/above"
      if ! printf '%s' "$block" | openssl x509 -noout -checkend "$valid" >/dev/null 2>&1; then
        problem="certificate $count in it cannot be read or ends within $valid seconds"
        return
      fi
    done <"$fetched"
    own=$(openssl x509 -in "$fetched" -noout -pubkey 2>/dev/null)
    if [ -z "$own" ] || [ "$own" != "$(openssl pkey -in "$fetched" -pubout 2>/dev/null)" ]; then
      problem='the private key in it belongs to another certificate'
      return
    fi
    verdict=$(openssl verify -partial_chain -allow_proxy_certs -CAfile "$room/above" "$fetched" 2>&1) && return
    # 7: a wrong signature; 2, 20, 21: the certificate below is not the one that it says. Others are for relying parties.
    case $verdict in *'error 7 at'* | *'error 2 at'* | *'error 20 at'* | *'error 21 at'*)
      problem='the certificates in it do not belong together' ;;
    esac
  }

  too_long() {
    last_code=6
    last='what it answered is far too long'
    return 1
  }

  # Sets `last` and `last_code`: how it ends when the wait is over. Ends it where waiting does not help.
  take() {
    last_code=4
    case $why in
      0) ;;
      23) fail 1 "$out cannot be written: ${words:-no room}" ;;
      1 | 2 | 3 | 4 | 26 | 58 | 77) fail 2 "curl cannot be used so: ${words:-code $why}" ;;
      51 | 60 | 83 | 90 | 91) fail 4 "the certcache is not trusted: ${words:-code $why}" ;;
      63) too_long || return 1 ;;
      1[3-9][0-9])
        [ "$(wc -c <"$fetched")" -lt 262144 ] || too_long || return 1
        fail 1 "$out cannot be written: curl was ended by signal $((why - 128))"
        ;;
      *)
        last="the certcache cannot be reached: ${words:-code $why}"
        return 1
        ;;
    esac
    case $status in
      200) ;;
      401 | 403) fail 3 "refused ($status): $(sentence)" ;;
      404) fail 5 "not there (404): $(sentence)" ;;
      *)
        last="$status: $(sentence)"
        return 1
        ;;
    esac
    look_at
    [ -n "$problem" ] || return 0
    last_code=6
    last="what it answered with 200 is not a valid proxy: $problem"
    return 1
  }

  check_settings
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  make_room
  deadline=$(($(date +%s) + patience))
  slept=0
  pause=1
  while :; do
    ask
    if take; then break; fi
    left=$((deadline - $(date +%s)))
    # The clock may have been set back.
    [ "$left" -le "$((patience - slept))" ] || left=$((patience - slept))
    [ "$left" -gt 0 ] || fail "$last_code" "given up after $patience seconds; $last"
    # Containers that were started together do not come back together.
    rest=$((pause + $$ % (pause + 1)))
    [ "$rest" -le "$left" ] || rest=$left
    note "$last; next try in $rest s"
    sleep "$rest"
    slept=$((slept + rest))
    [ "$pause" -ge 30 ] || pause=$((pause * 2))
  done
  command chmod 600 "$fetched" || fail 1 "$out cannot be made private"
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
