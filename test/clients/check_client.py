"""Uses clients/python against a service, and prints as JSON what it saw. Started by python.test.ts."""

import json
import os
import socket
import sys
import threading
import time
from typing import Any, Callable, Dict, List

from tts_client import (
    TtsClient,
    TtsClientError,
    TtsForeignAnswer,
    TtsProblem,
    TtsUnreachable,
    write_private_file,
)
from tts_client.retry import Waiting, with_retry

URL = os.environ["TTS_URL"]
DIRECTORY = os.environ["TTS_DIRECTORY"]


def refusal(work: Callable[[], Any]) -> Dict[str, Any]:
    try:
        work()
        return {"error": None}
    except TtsProblem as error:
        return {
            "error": "TtsProblem",
            "status": error.status,
            "code": error.code,
            "check": error.check,
            "accepted_audiences": error.accepted_audiences,
            "retry_after_seconds": error.retry_after_seconds,
            "text": str(error),
        }
    except TtsClientError as error:
        return {"error": type(error).__name__, "text": str(error)}


def proxies() -> Any:
    client = TtsClient(URL, token=os.environ["FIRST"])
    proxy = client.get_proxy(lifetime_seconds=3600)
    path = os.path.join(DIRECTORY, "rsa")
    with open(path, "w", encoding="ascii") as file:
        file.write("old")
    os.chmod(path, 0o644)
    write_private_file(path, proxy.pem)
    other = TtsClient(URL + "/", token=lambda: os.environ["SECOND"])
    ec = other.get_proxy(key_type="ec-p256", proxy_type="limited", path_length=0)
    write_private_file(os.path.join(DIRECTORY, "ec"), ec.pem)
    return {
        "mode": oct(os.stat(path).st_mode & 0o777),
        "seconds": proxy.not_after.timestamp() - time.time(),
        "warning": ec.warning,
        "repr": repr(proxy),
        "files": sorted(os.listdir(DIRECTORY)),
    }


def delegations() -> Any:
    client = TtsClient(URL, token=os.environ["LOGIN"])
    made = client.create_delegation(label="python")
    proxy = client.renew_proxy(made["id"], made["renewal_secret"], key_type="ec-p256")
    write_private_file(os.path.join(DIRECTORY, "renewed"), proxy.pem)
    bare = TtsClient(URL)
    shown = bare.show_delegation(made["id"], made["renewal_secret"])
    page = client.list_delegations(limit=1)
    every = [one["id"] for one in client.all_delegations(limit=1)]
    revoked = bare.revoke_delegation(made["id"], made["renewal_secret"])
    return {
        "label": shown["label"],
        "events": [event["event"] for event in shown["events"]],
        "page": len(page["delegations"]),
        "listed": made["id"] in every,
        "renews_until": proxy.renews_until is not None,
        "newly_revoked": revoked["newly_revoked"],
        "after": refusal(lambda: client.renew_proxy(made["id"], made["renewal_secret"])),
    }


def credentials() -> Any:
    client = TtsClient(URL, token=os.environ["PAGES"])
    made = [client.get_proxy(key_type="ec-p256").credential_id for _ in range(2)]
    seen = [one["id"] for one in client.all_credentials(limit=1, active=True)]
    shown = client.show_credential(made[0])
    revoked = client.revoke_credential(made[0], "superseded")
    return {
        "in_order": seen == made[::-1],
        "shown": shown["revoked_at"],
        "newly_revoked": revoked["newly_revoked"],
        "left": len(client.list_credentials(active=True)["credentials"]),
    }


def limit() -> Any:
    waits: List[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    client = TtsClient(URL, token=os.environ["LIMITED"], waiting=Waiting(sleep=sleep))
    for _ in range(3):
        client.get_proxy(key_type="ec-p256")
    return waits


def table() -> Any:
    """Waits by kind of error; two failures, then success."""

    def run(make: Callable[[], Exception], repeatable: bool) -> Any:
        waits: List[float] = []
        attempts = 0

        def attempt(_left: float) -> str:
            nonlocal attempts
            attempts += 1
            if attempts > 2:
                return "done"
            raise make()

        waiting = Waiting(now=lambda: sum(waits), sleep=waits.append, random=lambda: 0.5)
        try:
            with_retry(attempt, deadline_seconds=600, repeatable=repeatable, waiting=waiting)
        except (TtsClientError, TypeError):
            assert not waits, waits
        return waits

    def problem(status: int, after: Any = None) -> Callable[[], Exception]:
        body: Any = {"detail": "", "code": "overloaded", "status": status, "request_id": ""}
        return lambda: TtsProblem(body, after)

    return {
        "429": run(problem(429, 7), False),
        "503": run(problem(503), False),
        "503, at once": run(problem(503, 0), False),
        "408": run(problem(408), False),
        "gateway 502": run(lambda: TtsForeignAnswer(502), True),
        "gateway 504, not repeatable": run(lambda: TtsForeignAnswer(504), False),
        "no answer": run(lambda: TtsUnreachable("x"), True),
        "no answer, not repeatable": run(lambda: TtsUnreachable("x"), False),
        "401": run(problem(401), True),
        "409": run(problem(409), True),
        "500": run(problem(500), True),
        "502 of a plugin": run(problem(502), True),
        "past the deadline": run(problem(429, 600), True),
        "another error": run(lambda: TypeError("x"), True),
    }


def answer_once(reply: bytes) -> str:
    """A server that answers one connection with these bytes; with none, it never answers."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        connection.recv(65536)
        if reply:
            connection.sendall(reply)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def reply(status: str, kind: str, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


CHUNKED = b"HTTP/1.1 503 X\r\nContent-Type: application/problem+json\r\nTransfer-Encoding: chunked\r\n\r\n"


def problem_with(**more: Any) -> bytes:
    body = {"code": "x", "detail": "y", "request_id": "z", "status": 200, **more}
    return json.dumps(body).encode()


def slow(answer: bytes, at_once: int = 0) -> Dict[str, Any]:
    """What comes of a server that sends the rest byte by byte, which takes ten times as long as it may."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        connection.recv(65536)
        try:
            connection.sendall(answer[:at_once])
            for byte in answer[at_once:]:
                connection.sendall(bytes([byte]))
                time.sleep(0.015)
        except OSError:
            pass
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    client = TtsClient(url, token="x", deadline_seconds=0, timeout_seconds=0.4)
    return refusal(client.list_credentials)


def pages() -> Any:
    """Lists of a service from before there were pages, and one of 3 MiB."""
    old = answer_once(reply("200 OK", "application/json", b'{"credentials":[1]}'))
    other = answer_once(reply("200 OK", "application/json", b'{"delegations":[2]}'))
    long = answer_once(reply("200 OK", "application/json", b'{"credentials":["%s"]}' % (b"x" * (3 << 20))))
    return [
        list(TtsClient(old, token="x").all_credentials()),
        list(TtsClient(other, token="x").all_delegations()),
        len(TtsClient(long, token="x").list_credentials()["credentials"]),
    ]


def line_ends() -> Any:
    """A gateway that changes line ends does not harm the file."""
    from tts_client.keys import proxy_file_of, make_key_and_request
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    import datetime

    key, _ = make_key_and_request("ec-p256")
    name = x509.Name([])
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    text = (pem * 2).decode().replace("\n", "\r\n")
    return [line for line in proxy_file_of(text, key).split("\n") if "-----" in line]


def errors() -> Any:
    def once(answer: bytes, **more: Any) -> Dict[str, Any]:
        url = answer_once(answer)
        client = TtsClient(url, token="x", deadline_seconds=0, **more)
        return refusal(client.list_credentials)

    client = TtsClient(URL, token=os.environ["FIRST"])
    wrong = TtsClient(URL, token=os.environ["WRONG_AUDIENCE"])
    bob = TtsClient(URL, token=os.environ["BOB"])
    return {
        "audience": refusal(lambda: wrong.get_proxy(key_type="ec-p256")),
        "parameter": refusal(lambda: client.get_proxy(lifetime_seconds=1, key_type="ec-p256")),
        "path": refusal(lambda: client.show_credential("../proxies")),
        "rules": refusal(lambda: bob.get_proxy(key_type="ec-p256")),
        "http": refusal(lambda: TtsClient("http://tts.example.org", token="x")),
        "loopback in front": refusal(lambda: TtsClient("http://127.0.0.1.example.org", token="x")),
        "no token": refusal(TtsClient(URL).list_credentials),
        "redirect": once(reply("307 X", "text/html", b"", f"Location: {URL}/v1/credentials\r\n")),
        "login page": once(reply("200 OK", "text/html", b"<html>")),
        "gateway": once(reply("502 X", "text/html", b"bad gateway")),
        "foreign problem": once(reply("400 X", "application/problem+json", b'{"title":"x"}')),
        "too long": once(reply("200 OK", "application/json", b"x" * (5 << 20))),
        "no HTTP": once(b"SSH-2.0-x\r\n"),
        "no list": once(reply("200 OK", "application/json", b"{}")),
        "nested": once(reply("200 OK", "application/json", b"[" * 500_000)),
        "odd problem": once(
            reply("400 X", "application/problem+json", problem_with(accepted_audiences=None))
        ),
        "cut": once(reply("200 OK", "application/json", b'{"credentials":[]}')[:-1]),
        "cut refusal": once(reply("503 X", "application/problem+json", problem_with())[:-1]),
        "cut chunk": once(CHUNKED + b"9\r\n{"),
        "slow head": slow(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 40),
        "slow body": slow(reply("200 OK", "application/json", b" " * 400), 90),
        "slow refusal": slow(reply("503 X", "application/problem+json", b" " * 400), 90),
        "slow end": slow(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + b" " * 400, 60),
        "line break": refusal(TtsClient(URL, token="hidden\nhidden").list_credentials),
        "no ASCII": refusal(TtsClient(URL, token="gr\u00f6\u00dfe").list_credentials),
        "bad secret": refusal(lambda: client.show_delegation("x", "hidden\r\nX: hidden")),
        "empty secret": refusal(lambda: client.show_delegation("x", "")),
        "dots": refusal(lambda: client.revoke_delegation("..", "x")),
        "password": refusal(lambda: TtsClient("https://user:hidden@tts.example.org")),
        "port": refusal(lambda: TtsClient("https://tts.example.org:hidden")),
        "no host": refusal(lambda: TtsClient("https:///x")),
        "half an address": refusal(lambda: TtsClient("https://[::1")),
        "query": refusal(lambda: TtsClient("https://tts.example.org/?a=b")),
        "untrusted": refusal(TtsClient(os.environ["UNTRUSTED"], token="x").list_credentials),
        "slow": once(b"", timeout_seconds=0.2),
        "nobody": refusal(
            TtsClient("http://127.0.0.1:1", token="x", deadline_seconds=0).list_credentials
        ),
    }


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
