#!/bin/sh
# start-glidein.sh COMMAND ARGUMENTS: fetches a proxy from a certcache, runs the pilot with it, and renews it.
#
# get-proxy.sh must be in the directory of this script or in the one that the job starts in. Its variables say where the
# certcache is. glideinWMS needs proxies that are valid for 12 hours (CERTCACHE_WORKER_VALID=43200). A new proxy replaces
# the old one by rename, and HTCondor reads it when it next begins a session with the pool. If a fetch fails, the old
# proxy stays until the next attempt. If pilot.config is in one of these directories, it configures HTCondor; the pool
# needs pool.config.
#   START_GLIDEIN_RENEW_SECONDS   how often a new proxy is fetched (default: 3600)
set -eu
umask 077

[ "$#" -gt 0 ] || {
  echo 'start-glidein: a command is required' >&2
  exit 2
}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
get_proxy=$here/get-proxy.sh
[ -f "$get_proxy" ] || get_proxy=$PWD/get-proxy.sh

# In the scratch directory of the pilot, which HTCondor removes at its end.
: "${CERTCACHE_WORKER_OUT:=${_CONDOR_SCRATCH_DIR:-$PWD}/gwms_proxy}"
export CERTCACHE_WORKER_OUT
X509_USER_PROXY=$(sh "$get_proxy")
export X509_USER_PROXY
# HTCondor takes settings from variables that begin with _CONDOR_. Without this one it does not show the proxy.
export _CONDOR_AUTH_SSL_USE_CLIENT_PROXY_ENV_VAR=True
[ -z "${X509_CERT_DIR:-}" ] || export _CONDOR_AUTH_SSL_CLIENT_CADIR="$X509_CERT_DIR"

config=$here/pilot.config
[ -f "$config" ] || config=$PWD/pilot.config
if [ -f "$config" ]; then
  export CONDOR_CONFIG="$config"
  export _CONDOR_LOCAL_DIR="${_CONDOR_SCRATCH_DIR:-$PWD}/pilot"
  mkdir -p "$_CONDOR_LOCAL_DIR/log" "$_CONDOR_LOCAL_DIR/execute"
fi

renew_loop() {
  # The signal may come while sleep is being started: then there is no variable with its number yet, and a signal that
  # can be caught may be lost. A sleep that stays behind would keep the output of the job open.
  trap 'kill -KILL "$!" 2>/dev/null; exit 0' TERM
  while :; do
    sleep "${START_GLIDEIN_RENEW_SECONDS:-3600}" &
    wait "$!"
    CERTCACHE_WORKER_WAIT=300 CERTCACHE_WORKER_QUIET=1 sh "$get_proxy" >/dev/null || :
  done
}
renew_loop &
renewer=$!

# Forward signals to the pilot, and exit with its exit code.
"$@" &
pilot=$!
signalled=''
trap 'signalled=yes; kill -TERM "$pilot" 2>/dev/null || :' HUP INT TERM
code=0
wait "$pilot" || code=$?
# A signal interrupts `wait`, which then returns the number of the signal: only another one has the code of the pilot. 127
# is the answer if the signal came after the pilot had ended and the shell has forgotten it.
while [ -n "$signalled" ]; do
  signalled=''
  again=0
  wait "$pilot" || again=$?
  [ "$again" -eq 127 ] || code=$again
done
kill "$renewer" 2>/dev/null || :
exit "$code"
