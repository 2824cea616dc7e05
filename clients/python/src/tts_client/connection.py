"""Sends requests to the service and reads its answers."""

import http.client
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Callable, Dict, Mapping, Optional, Union, cast

from .api_types import Problem
from .attempt import Attempt
from .errors import TtsClientError, TtsForeignAnswer, TtsProblem, TtsUnreachable
from .retry import Waiting, with_retry

Token = Union[str, Callable[[], str]]

# A page of 1000 entries, with long names, has two.
MAX_ANSWER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """A request. `secret` replaces the token: the renewal secret of a delegation."""

    method: str
    path: str
    repeatable: bool
    query: Mapping[str, Optional[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Optional[str] = None
    secret: Optional[str] = None


@dataclass(frozen=True)
class Answer:
    """A good answer."""

    headers: Message
    body: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token is never sent to where a redirect leads."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Connection:
    """The connection to one service. It always verifies the server's certificate."""

    def __init__(
        self,
        url: str,
        *,
        token: Optional[Token],
        ca_file: Optional[str],
        deadline_seconds: float,
        timeout_seconds: float,
        waiting: Waiting,
    ) -> None:
        self._base = _base_url(url)
        self._token = token
        self._deadline_seconds = deadline_seconds
        self._timeout_seconds = timeout_seconds
        self._waiting = waiting
        self._context = ssl.create_default_context(cafile=ca_file)

    def send(self, request: Request) -> Answer:
        """Sends a request, tries again while that can help, and raises the errors of `errors.py`."""
        return with_retry(
            lambda left: self._attempt(request, left),
            deadline_seconds=self._deadline_seconds,
            repeatable=request.repeatable,
            waiting=self._waiting,
        )

    def _attempt(self, request: Request, left_seconds: float) -> Answer:
        query = {name: value for name, value in request.query.items() if value is not None}
        url = self._base + request.path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        headers: Dict[str, str] = dict(request.headers)
        headers["Authorization"] = f"Bearer {self._bearer(request.secret)}"
        body = None if request.body is None else request.body.encode("utf-8")
        if body is None and request.method == "POST":
            body = b""
        sent = urllib.request.Request(url, data=body, headers=headers, method=request.method)
        left = left_seconds if self._deadline_seconds > 0 else self._timeout_seconds
        timeout = max(0.001, min(self._timeout_seconds, left))
        try:
            with Attempt(timeout, self._context) as attempt:
                return self._answer(attempt, sent)
        except (OSError, http.client.HTTPException) as error:
            raise self._fault(error) from error

    def _answer(self, attempt: Attempt, sent: urllib.request.Request) -> Answer:
        handlers = [_NoRedirect(), *attempt.handlers()]
        if sent.type == "http":
            # Only https goes through a proxy: to this machine a token goes directly.
            handlers.append(urllib.request.ProxyHandler({}))
        try:
            opener = urllib.request.build_opener(*handlers)
            with opener.open(sent, timeout=attempt.seconds) as response:
                return Answer(response.headers, _read(attempt, response))
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error, _read(attempt, error)) from None

    def _fault(self, error: Exception) -> TtsClientError:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return TtsClientError(
                f"the certificate of {self._base} is not trusted ({reason.verify_message}); ca_file adds a CA"
            )
        return TtsUnreachable(f"{self._base} cannot be reached, or did not answer in time")

    def _bearer(self, secret: Optional[str]) -> str:
        """The renewal secret, or the access token. Errors must not quote it, as those of http.client do."""
        what = "access token" if secret is None else "renewal secret"
        given = secret
        if secret is None:
            given = self._token() if callable(self._token) else self._token
        text = (given or "").strip()
        if not text:
            raise TtsClientError(f"the {what} is missing")
        if not re.fullmatch(r"[\x21-\x7e]+", text):
            raise TtsClientError(f"the {what} has characters that none has, such as a line break")
        return text


def _base_url(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"[^\x21-\x7e]", url):
        raise TtsClientError("url must be an https URL with a host, such as https://tts.example.org")
    if parts.username is not None or parts.password is not None or "?" in url or "#" in url:
        raise TtsClientError("url must have no user, password, query or fragment")
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise TtsClientError(
            "url must be https (http only for this machine): a token must not cross the network unencrypted"
        )
    return url if url.endswith("/") else url + "/"


def _read(attempt: Attempt, response: Any) -> str:
    body: bytes = response.read(MAX_ANSWER_BYTES + 1)
    attempt.require_time()
    if len(body) > MAX_ANSWER_BYTES:
        raise TtsClientError("the answer is too long")
    # http.client does not say that an answer has been cut off.
    missing: Optional[int] = getattr(response, "length", None)
    if missing:
        raise http.client.IncompleteRead(body, missing)
    return body.decode("utf-8", "replace")


def _refusal(error: urllib.error.HTTPError, body: str) -> TtsClientError:
    after = error.headers.get("Retry-After", "")
    seconds = int(after) if re.fullmatch(r"\d{1,6}", after) else None
    problem = None
    if error.headers.get_content_type() == "application/problem+json":
        problem = parse_json(body)
    if (
        isinstance(problem, dict)
        and isinstance(problem.get("code"), str)
        and isinstance(problem.get("detail"), str)
    ):
        return TtsProblem(cast(Problem, {**problem, "status": error.code}), seconds)
    return TtsForeignAnswer(error.code, seconds)


def parse_json(text: str) -> object:
    """Returns the value of a JSON text; None for any other text."""
    try:
        value: object = json.loads(text)
        return value
    except (ValueError, RecursionError):
        return None
