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
from typing import IO, Any, Callable, Dict, Mapping, Optional, Union, cast

from .api_types import Problem
from .errors import TtsClientError, TtsForeignAnswer, TtsProblem, TtsUnreachable
from .retry import Waiting, with_retry

Token = Union[str, Callable[[], str]]

MAX_ANSWER_BYTES = 1024 * 1024


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
        context = ssl.create_default_context(cafile=ca_file)
        self._opener = urllib.request.build_opener(
            _NoRedirect(), urllib.request.HTTPSHandler(context=context)
        )

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
        headers["Authorization"] = f"Bearer {request.secret or self._current_token()}"
        body = None if request.body is None else request.body.encode("utf-8")
        if body is None and request.method == "POST":
            body = b""
        sent = urllib.request.Request(url, data=body, headers=headers, method=request.method)
        left = left_seconds if self._deadline_seconds > 0 else self._timeout_seconds
        timeout = max(0.001, min(self._timeout_seconds, left))
        try:
            with self._opener.open(sent, timeout=timeout) as response:
                return Answer(response.headers, _read(response))
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise TtsUnreachable(
                f"{self._base} cannot be reached, or did not answer in time"
            ) from error

    def _current_token(self) -> str:
        token = self._token() if callable(self._token) else self._token
        if not token:
            raise TtsClientError("an access token is needed")
        return token.strip()


def _base_url(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise TtsClientError(
            "url must be https (http only for this machine): a token must not cross the network unencrypted"
        )
    return url if url.endswith("/") else url + "/"


def _read(response: IO[bytes]) -> str:
    body = response.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise TtsClientError("the answer is too long")
    return body.decode("utf-8", "replace")


def _refusal(error: urllib.error.HTTPError) -> TtsClientError:
    after = error.headers.get("Retry-After", "")
    seconds = int(after) if re.fullmatch(r"\d{1,6}", after) else None
    problem = None
    if error.headers.get_content_type() == "application/problem+json":
        problem = parse_json(_read(error))
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
    except ValueError:
        return None
