#!/bin/sh
# Puts the caller's public SSH key into an authorized_keys file, and takes it out again. POSIX sh and jq.
set -eu

answer_parameter() {
  cat << 'END'
{
  "result": "ok",
  "version": "1.0",
  "conf_params": [{"name": "keys_file", "type": "string", "default": "/home/guest/.ssh/authorized_keys"}],
  "request_params": [[
    {"key": "pub_key", "name": "Public key", "description": "a line of id_ed25519.pub", "type": "textarea", "mandatory": true}
  ]],
  "features": {"stdin": true}
}
END
}

# Two texts: for the person who asked, and for the log.
refuse() {
  jq -n --arg user "$1" --arg log "${2:-$1}" '{result: "error", user_msg: $user, log_msg: $log}'
  exit 0
}

# A field of the request. Never paste one into a command line: "$variables" in quotes are safe.
field() {
  printf '%s' "$request" | jq -r "$1 // empty"
}

answer_request() {
  key=$(field '.params.pub_key | strings')
  printf '%s' "$key" | grep -Eqx 'ssh-ed25519 [A-Za-z0-9+/=]{68}( [A-Za-z0-9@._-]{1,64})?' ||
    refuse 'the public key must be one line that begins with ssh-ed25519'
  [ "$(printf '%s\n' "$key" | wc -l)" -eq 1 ] || refuse 'the public key must be one line'
  state=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
  keys_file=$(field .conf_params.keys_file)
  # The comment says whose it is; the state is at its end.
  blob=$(printf '%s' "$key" | cut -d' ' -f1,2)
  printf 'restrict,pty %s tts-%s\n' "$blob" "$state" >> "$keys_file" ||
    refuse 'the machine takes no keys now' "cannot write $keys_file"
  jq -n --arg state "$state" '{
    result: "ok",
    credential: [{name: "Login", type: "text", value: "ssh guest@ui.example.org"}],
    state: $state
  }'
}

answer_revoke() {
  state=$(field .cred_state)
  keys_file=$(field .conf_params.keys_file)
  printf '%s' "$state" | grep -Eqx '[0-9a-f]{16}' || refuse 'there is no such key' "state $state"
  if [ -e "$keys_file" ]; then
    # The old file's rights stay with the file.
    kept=$(mktemp)
    grep -v " tts-$state\$" "$keys_file" > "$kept" || true
    cat "$kept" > "$keys_file"
    rm -f "$kept"
  fi
  echo '{"result": "ok"}'
}

# Requests come on standard input, `parameter` as an argument; from watts-plugin-tester everything does.
if [ $# -gt 0 ]; then text=$1; else text=$(cat); fi
# base64url without padding, to base64 with it.
text=$(printf '%s' "$text" | tr '_-' '/+')
while [ $((${#text} % 4)) -ne 0 ]; do text=$text=; done
request=$(printf '%s' "$text" | base64 -d)
case $(field .action) in
parameter) answer_parameter ;;
request) answer_request ;;
revoke) answer_revoke ;;
*) refuse 'the plugin had an error' 'unknown action' ;;
esac
