#!/bin/sh
# Adds the caller's public SSH key to an authorized_keys file, and removes it again. Needs POSIX sh and jq.
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

# Arguments: the message for the user, and the message for the log.
refuse() {
  jq -n --arg user "$1" --arg log "${2:-$1}" '{result: "error", user_msg: $user, log_msg: $log}'
  exit 0
}

# Prints a field of the request. Use fields only as quoted "$variables", never as part of a command line.
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
  # The comment identifies the key; it ends with the state.
  blob=$(printf '%s' "$key" | cut -d' ' -f1,2)
  printf 'restrict,pty %s tts-%s\n' "$blob" "$state" >> "$keys_file" ||
    refuse 'the host accepts no keys at the moment' "cannot write $keys_file"
  jq -n --arg state "$state" '{
    result: "ok",
    credential: [{name: "Login", type: "text", value: "ssh guest@ui.example.org"}],
    state: $state
  }'
}

answer_revoke() {
  state=$(field .cred_state)
  keys_file=$(field .conf_params.keys_file)
  printf '%s' "$state" | grep -Eqx '[0-9a-f]{16}' || refuse 'this key does not exist' "state $state"
  if [ -e "$keys_file" ]; then
    # Overwrites the file instead of replacing it, to keep its owner and mode.
    remaining=$(mktemp)
    grep -v " tts-$state\$" "$keys_file" > "$remaining" || true
    cat "$remaining" > "$keys_file"
    rm -f "$remaining"
  fi
  echo '{"result": "ok"}'
}

# Requests come on standard input, but `parameter` comes as an argument; watts-plugin-tester sends everything as an argument.
if [ $# -gt 0 ]; then text=$1; else text=$(cat); fi
# Converts base64url without padding to base64 with padding.
text=$(printf '%s' "$text" | tr '_-' '/+')
while [ $((${#text} % 4)) -ne 0 ]; do text=$text=; done
request=$(printf '%s' "$text" | base64 -d)
case $(field .action) in
parameter) answer_parameter ;;
request) answer_request ;;
revoke) answer_revoke ;;
*) refuse 'the plugin failed' 'unknown action' ;;
esac
