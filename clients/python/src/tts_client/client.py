"""The operations of the service."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Iterator, Literal, Optional
from urllib.parse import quote

from .api_types import (
    Credential,
    CredentialPage,
    CredentialRevocation,
    Delegation,
    DelegationDetails,
    DelegationPage,
    DelegationRevocation,
    NewDelegation,
)
from .connection import Answer, Connection, Request, Token, parse_json
from .errors import TtsClientError, TtsForeignAnswer
from .keys import KeyType, make_key_and_request, proxy_file_of
from .retry import Waiting

ProxyType = Literal["impersonation", "limited", "independent"]


@dataclass(frozen=True)
class Proxy:
    """A proxy with its key."""

    pem: str
    """The file: proxy, private key, EEC and the certificates above it."""
    credential_id: str
    not_after: datetime
    warning: Optional[str]
    """Why some relying party is known to refuse it."""
    renews_until: Optional[datetime]
    """Until when its delegation renews; only of renewals."""

    def __repr__(self) -> str:
        """Without the key, which must not get into a log."""
        return f"Proxy(credential_id={self.credential_id!r}, not_after={self.not_after!r})"


class TtsClient:
    """A client of one service. It sends nothing when it is made.

    `url`: https, or http for this machine only. `token`: an access token, or a function that returns one that is still
    valid. `ca_file`: PEM file of the CAs for the server's certificate. `deadline_seconds`: time limit for a call with
    all its attempts (0: one attempt); `timeout_seconds`: for one attempt, because a renewal takes as long as the
    identity provider.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Optional[Token] = None,
        ca_file: Optional[str] = None,
        deadline_seconds: float = 600,
        timeout_seconds: float = 60,
        waiting: Optional[Waiting] = None,
    ) -> None:
        self._connection = Connection(
            url,
            token=token,
            ca_file=ca_file,
            deadline_seconds=deadline_seconds,
            timeout_seconds=timeout_seconds,
            waiting=waiting or Waiting(),
        )

    def get_proxy(
        self,
        *,
        lifetime_seconds: Optional[int] = None,
        proxy_type: Optional[ProxyType] = None,
        path_length: Optional[int] = None,
        key_type: KeyType = "rsa-2048",
        voms: Optional[str] = None,
        service: Optional[str] = None,
    ) -> Proxy:
        """Gets a proxy. The key is made here and never sent."""
        query = {
            "lifetime_seconds": _text(lifetime_seconds),
            "proxy_type": proxy_type,
            "path_length": _text(path_length),
            "voms": voms,
            "service": service,
        }
        return self._proxy("v1/proxies", key_type, query, None)

    def renew_proxy(
        self,
        delegation_id: str,
        secret: str,
        *,
        lifetime_seconds: Optional[int] = None,
        proxy_type: Optional[ProxyType] = None,
        path_length: Optional[int] = None,
        key_type: KeyType = "rsa-2048",
        voms: Optional[str] = None,
        service: Optional[str] = None,
    ) -> Proxy:
        """Gets a proxy by a delegation, with no person present. The service asks the identity provider first."""
        query = {
            "lifetime_seconds": _text(lifetime_seconds),
            "proxy_type": proxy_type,
            "path_length": _text(path_length),
            "voms": voms,
            "service": service,
        }
        path = f"v1/delegations/{_segment(delegation_id)}/proxies"
        return self._proxy(path, key_type, query, secret)

    def list_credentials(
        self,
        *,
        limit: Optional[int] = None,
        after: Optional[str] = None,
        active: Optional[bool] = None,
    ) -> CredentialPage:
        """A page of your credentials, newest first."""
        query = {"limit": _text(limit), "after": after, "active": _flag(active)}
        page: CredentialPage = _page_of(self._ask("GET", "v1/credentials", query=query), "credentials")
        return page

    def all_credentials(
        self, *, limit: Optional[int] = None, active: Optional[bool] = None
    ) -> Iterator[Credential]:
        """All your credentials, page by page."""
        after: Optional[str] = None
        while True:
            page = self.list_credentials(limit=limit, after=after, active=active)
            yield from page["credentials"]
            # A service from before there were pages has no `next`.
            after = page.get("next")
            if after is None:
                return

    def show_credential(self, credential_id: str) -> Credential:
        """One of your credentials."""
        shown: Credential = self._ask("GET", f"v1/credentials/{_segment(credential_id)}")
        return shown

    def revoke_credential(
        self, credential_id: str, reason: Optional[str] = None
    ) -> CredentialRevocation:
        """Revokes a credential, and every proxy that was issued with it."""
        path = f"v1/credentials/{_segment(credential_id)}"
        revoked: CredentialRevocation = self._ask("DELETE", path, query={"reason": reason})
        return revoked

    def create_delegation(self, *, label: Optional[str] = None) -> NewDelegation:
        """Creates a delegation. Keep `renewal_secret`: it is shown only here.

        Not tried again when the connection breaks, because the delegation may exist by then.
        """
        body = json.dumps({} if label is None else {"label": label})
        made: NewDelegation = self._ask("POST", "v1/delegations", body=body, repeatable=False)
        return made

    def list_delegations(
        self, *, limit: Optional[int] = None, after: Optional[str] = None
    ) -> DelegationPage:
        """A page of your delegations, newest first."""
        query = {"limit": _text(limit), "after": after}
        page: DelegationPage = _page_of(self._ask("GET", "v1/delegations", query=query), "delegations")
        return page

    def all_delegations(self, *, limit: Optional[int] = None) -> Iterator[Delegation]:
        """All your delegations, page by page."""
        after: Optional[str] = None
        while True:
            page = self.list_delegations(limit=limit, after=after)
            yield from page["delegations"]
            # A service from before there were pages has no `next`.
            after = page.get("next")
            if after is None:
                return

    def show_delegation(
        self, delegation_id: str, secret: Optional[str] = None
    ) -> DelegationDetails:
        """One delegation with its events; by the token, or by its renewal secret."""
        path = f"v1/delegations/{_segment(delegation_id)}"
        shown: DelegationDetails = self._ask("GET", path, secret=secret)
        return shown

    def revoke_delegation(
        self, delegation_id: str, secret: Optional[str] = None
    ) -> DelegationRevocation:
        """Revokes a delegation, here and at the identity provider."""
        path = f"v1/delegations/{_segment(delegation_id)}"
        revoked: DelegationRevocation = self._ask("DELETE", path, secret=secret)
        return revoked

    def _proxy(
        self, path: str, key_type: KeyType, query: "dict[str, Optional[str]]", secret: Optional[str]
    ) -> Proxy:
        key, csr = make_key_and_request(key_type)
        headers = {"Content-Type": "application/pkcs10", "Accept": "application/x-pem-file"}
        # A further proxy does no harm.
        request = Request("POST", path, True, query, headers, csr, secret)
        answer = self._connection.send(request)
        credential_id = answer.headers.get("TTS-Credential-Id")
        not_after = _time(answer.headers.get("TTS-Not-After"))
        if credential_id is None or not_after is None:
            raise TtsForeignAnswer(200)
        return Proxy(
            pem=proxy_file_of(answer.body, key),
            credential_id=credential_id,
            not_after=not_after,
            warning=answer.headers.get("TTS-Warning"),
            renews_until=_time(answer.headers.get("TTS-Renews-Until")),
        )

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: "Optional[dict[str, Optional[str]]]" = None,
        body: Optional[str] = None,
        secret: Optional[str] = None,
        repeatable: bool = True,
    ) -> Any:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = Request(method, path, repeatable, query or {}, headers, body, secret)
        return _json_of(self._connection.send(request))


def _json_of(answer: Answer) -> object:
    is_json = answer.headers.get_content_type() == "application/json"
    value = parse_json(answer.body) if is_json else None
    if not isinstance(value, dict):
        raise TtsForeignAnswer(200)
    return value


def _page_of(answer: Any, entries: str) -> Any:
    if not isinstance(answer.get(entries), list):
        raise TtsForeignAnswer(200)
    return answer


def _time(text: Optional[str]) -> Optional[datetime]:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def _text(number: Optional[int]) -> Optional[str]:
    return None if number is None else str(number)


def _flag(value: Optional[bool]) -> Optional[str]:
    return None if value is None else str(value).lower()


def _segment(text: str) -> str:
    """An id as a part of a path, never as another path."""
    if text in ("", ".", ".."):
        raise TtsClientError("the id is empty, or has dots only")
    return quote(text, safe="")
