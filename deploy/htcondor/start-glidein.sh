#!/bin/sh
# start-glidein.sh COMMAND ARGUMENTS: fetches a proxy from a certcache, keeps it fresh, and runs the pilot with it.
#
# get-proxy.sh lies beside it, or in the directory that the job starts in, and is told by its variables where the certcache
# is. glideinWMS wants 12 hours of life (CERTCACHE_WORKER_VALID=43200). The proxy is replaced by rename, so that the shadow
# and the starter take each new one by themselves. What is fetched anew in vain stays as it is and is tried again.
#   START_GLIDEIN_RENEW_SECONDS   how often a new proxy is fetched; else 3600
set -eu
umask 077

[ "$#" -gt 0 ] || {
  echo 'start-glidein: which command?' >&2
  exit 2
}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
get_proxy=$here/get-proxy.sh
[ -f "$get_proxy" ] || get_proxy=$PWD/get-proxy.sh

# In the pilot's own directory, which HTCondor removes with it.
: "${CERTCACHE_WORKER_OUT:=${_CONDOR_SCRATCH_DIR:-$PWD}/gwms_proxy}"
export CERTCACHE_WORKER_OUT
X509_USER_PROXY=$(sh "$get_proxy")
export X509_USER_PROXY

keep_fresh() {
  trap 'kill "$nap" 2>/dev/null; exit 0' TERM
  while :; do
    sleep "${START_GLIDEIN_RENEW_SECONDS:-3600}" &
    nap=$!
    wait "$nap"
    CERTCACHE_WORKER_WAIT=300 CERTCACHE_WORKER_QUIET=1 sh "$get_proxy" >/dev/null || :
  done
}
keep_fresh &
keeper=$!

# The pilot is told to end as we are; its exit code is ours.
"$@" &
pilot=$!
trap 'kill -TERM "$pilot" 2>/dev/null || :' HUP INT TERM
code=0
wait "$pilot" || code=$?
# A signal ends the wait before the pilot has ended.
while kill -0 "$pilot" 2>/dev/null; do
  code=0
  wait "$pilot" || code=$?
done
kill "$keeper" 2>/dev/null || :
exit "$code"
