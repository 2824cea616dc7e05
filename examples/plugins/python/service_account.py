#!/usr/bin/env python3
"""A password for a service, kept as a salted hash in a password file. Python 3.6 or later, nothing else needed."""
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
        # What the operator sets in the configuration of the service, under conf_params.
        "conf_params": [
            {"name": "password_file", "type": "string", "default": "/var/lib/myservice/passwords.json"},
        ],
        # Alternative sets of what callers send. One set here; callers may leave `label` out.
        "request_params": [[
            {"key": "label", "name": "Label", "description": "what the password is for", "type": "textarea", "mandatory": False},
        ]],
        "developer_email": "me@example.org",
        # Requests come on standard input, where no process list shows them.
        "features": {"stdin": True},
    }


def request(asked):
    label = asked["params"].get("label", "")
    if not isinstance(label, str) or len(label) > 100:
        return refuse("the label must be a string of up to 100 characters")
    person = asked["user_info"]
    account = secrets.token_hex(8)
    password = secrets.token_urlsafe(18)
    salt = secrets.token_bytes(16)
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 100000)
    path = asked["conf_params"]["password_file"]
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
        # By this the credential is revoked one day: another one for each.
        "state": account,
    }


def revoke(asked):
    path = asked["conf_params"]["password_file"]
    accounts = load(path)
    # To revoke what is gone already is no error.
    if accounts.pop(asked["cred_state"], None) is not None:
        store(path, accounts)
    return {"result": "ok"}


def load(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def store(path, accounts):
    """Whole or not at all, and private. Only one of us runs at a time: that is the default of parallel_runner."""
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(accounts, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def refuse(words, log=None):
    """`user_msg` is for the person who asked, `log_msg` for the operator."""
    return {"result": "error", "user_msg": words, "log_msg": log or words}


def main():
    # `parameter` comes as an argument, everything else on standard input.
    text = sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read()
    asked = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    actions = {"parameter": parameter, "request": request, "revoke": revoke}
    try:
        answer = actions[asked["action"]](asked)
    except OSError as error:
        answer = refuse("the service cannot be reached", "%s: %s" % (error.filename, error.strerror))
    print(json.dumps(answer))


main()
