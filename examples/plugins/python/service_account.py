#!/usr/bin/env python3
"""Creates a password for a service, and stores its salted hash in a password file. Needs only Python 3.6 or later."""
import base64
import hashlib
import json
import os
import secrets
import sys


def parameter(_):
    return {
        "result": "ok",
        "version": "1.0",
        # Settings of the operator, in the configuration of the service under conf_params.
        "conf_params": [
            {"name": "password_file", "type": "string", "default": "/var/lib/myservice/passwords.json"},
        ],
        # Alternative sets of parameters from the caller. Here there is one set, and `label` is optional.
        "request_params": [[
            {"key": "label", "name": "Label", "description": "what the password is for", "type": "textarea", "mandatory": False},
        ]],
        "developer_email": "me@example.org",
        # Requests come on standard input, so that they are not visible in the process list.
        "features": {"stdin": True},
    }


def request(call):
    label = call["params"].get("label", "")
    if not isinstance(label, str) or len(label) > 100:
        return refuse("the label must be a string of up to 100 characters")
    person = call["user_info"]
    account = secrets.token_hex(8)
    password = secrets.token_urlsafe(18)
    salt = secrets.token_bytes(16)
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 100000)
    path = call["conf_params"]["password_file"]
    accounts = load(path)
    accounts[account] = {
        "issuer": person["iss"], "sub": person["sub"], "label": label, "salt": salt.hex(), "hash": digest.hex(),
    }
    store(path, accounts)
    return {
        "result": "ok",
        "credential": [
            {"name": "Username", "type": "text", "value": account},
            {"name": "Password", "type": "text", "value": password},
        ],
        # Identifies the credential when it is revoked; must be unique.
        "state": account,
    }


def revoke(call):
    path = call["conf_params"]["password_file"]
    accounts = load(path)
    # Revoking an account that does not exist any more is not an error.
    if accounts.pop(call["cred_state"], None) is not None:
        store(path, accounts)
    return {"result": "ok"}


def load(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def store(path, accounts):
    """Replaces the file atomically, with mode 0600. Only one process runs at a time: the default of parallel_runner."""
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(accounts, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def refuse(words, log=None):
    """`user_msg` is for the user, `log_msg` for the operator."""
    return {"result": "error", "user_msg": words, "log_msg": log or words}


def main():
    # `parameter` comes as an argument, everything else on standard input.
    text = sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read()
    call = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    actions = {"parameter": parameter, "request": request, "revoke": revoke}
    try:
        answer = actions[call["action"]](call)
    except OSError as error:
        answer = refuse("the service cannot be reached", "%s: %s" % (error.filename, error.strerror))
    print(json.dumps(answer))


main()
