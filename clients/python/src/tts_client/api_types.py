"""The API of the Token Translation Service: made from /openapi.json by `npm run docs`; do not edit."""

from typing import List, Literal, TypedDict, Union


class Certificate(TypedDict):
    """A certificate of a credential."""

    kind: Literal["eec", "proxy"]
    serial: str
    subject: str
    not_before: str
    not_after: str
    fingerprint_sha256: str
    key: str


class Credential(TypedDict):
    """What was issued to you; it holds no key."""

    id: str
    service: str
    subject: str
    issued_at: str
    not_after: Union[str, None]
    revoked_at: Union[str, None]
    revocation_reason: Union[Literal["unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn"], None]
    end_entity_serial: Union[str, None]
    ssh_serial: Union[str, None]
    client_id: Union[str, None]
    address: str
    interface: str
    delegation_id: Union[str, None]
    renewed_from: Union[str, None]
    certificates: List["Certificate"]


class CredentialPage(TypedDict):
    """A page of your credentials, newest first."""

    credentials: List["Credential"]
    next: Union[str, None]


class CredentialRevocation(TypedDict):
    """The outcome of a revocation."""

    id: str
    end_entity_serial: Union[str, None]
    newly_revoked: bool
    affected: List[str]


class IssuedCredential(TypedDict):
    """A proxy or a certificate that was just issued."""

    id: str
    service: str
    identity: str
    not_after: str
    end_entity_serial: str
    warnings: List[str]
    pem: str


class Delegation(TypedDict):
    """The right to renew proxies without a person present."""

    id: str
    state: Literal["active", "ended", "revoked"]
    identity: str
    label: Union[str, None]
    created_at: str
    last_used_at: Union[str, None]
    renews_until: Union[str, None]
    advice: str
    ended_at: Union[str, None]
    end_reason: Union[str, None]
    provider: str
    client_id: Union[str, None]
    address: str


class NewDelegation(TypedDict):
    """A new delegation, with its renewal secret."""

    id: str
    state: Literal["active", "ended", "revoked"]
    identity: str
    label: Union[str, None]
    created_at: str
    last_used_at: Union[str, None]
    renews_until: Union[str, None]
    advice: str
    ended_at: Union[str, None]
    end_reason: Union[str, None]
    provider: str
    client_id: Union[str, None]
    address: str
    renewal_secret: str


class DelegationPage(TypedDict):
    """A page of your delegations, newest first."""

    delegations: List["Delegation"]
    next: Union[str, None]


class DelegationEvent(TypedDict):
    """What happened to a delegation."""

    at: str
    event: Literal["made", "rotated", "used", "refused", "revoked", "ended", "notice"]
    outcome: Literal["allowed", "refused"]
    address: str
    interface: str
    detail: Union[str, None]


class DelegationDetails(TypedDict):
    """A delegation with its events."""

    id: str
    state: Literal["active", "ended", "revoked"]
    identity: str
    label: Union[str, None]
    created_at: str
    last_used_at: Union[str, None]
    renews_until: Union[str, None]
    advice: str
    ended_at: Union[str, None]
    end_reason: Union[str, None]
    provider: str
    client_id: Union[str, None]
    address: str
    events: List["DelegationEvent"]


class DelegationRevocation(TypedDict):
    """A delegation after its revocation."""

    id: str
    state: Literal["active", "ended", "revoked"]
    identity: str
    label: Union[str, None]
    created_at: str
    last_used_at: Union[str, None]
    renews_until: Union[str, None]
    advice: str
    ended_at: Union[str, None]
    end_reason: Union[str, None]
    provider: str
    client_id: Union[str, None]
    address: str
    newly_revoked: bool
    provider_told: bool


class _RequiredProblem(TypedDict):
    type: str
    title: str
    status: int
    detail: str
    code: Literal["invalid_request", "invalid_csr", "missing_token", "invalid_token", "insufficient_scope", "access_denied", "grant_refused", "not_found", "method_not_allowed", "not_acceptable", "request_timeout", "conflict", "delegation_ended", "payload_too_large", "unsupported_media_type", "expectation_failed", "limit_reached", "internal", "configuration", "plugin_failed", "provider_unavailable", "store_unavailable", "overloaded", "shutting_down"]
    request_id: str


class Problem(_RequiredProblem, total=False):
    """An error (RFC 9457): what is wrong, and what to do about it."""

    check: str
    accepted_audiences: List[str]


class ProxyParameters(TypedDict, total=False):
    """Parameters of a proxy."""

    lifetime_seconds: int
    proxy_type: Literal["impersonation", "limited", "independent"]
    path_length: int
    key_type: Literal["rsa-2048", "rsa-3072", "rsa-4096", "ec-p256"]
    key_format: Literal["pkcs1", "pkcs8"]
    csr: str
    service: str


class _RequiredCertificateParameters(TypedDict):
    csr: str


class CertificateParameters(_RequiredCertificateParameters, total=False):
    """Parameters of a certificate."""

    lifetime_seconds: int
    service: str
