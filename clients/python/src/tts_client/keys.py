"""Keys, requests and proxy files. The private key never leaves this process."""

import re
from typing import Literal, Tuple, Union

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from .errors import TtsClientError

KeyType = Literal["rsa-2048", "rsa-3072", "rsa-4096", "ec-p256"]
PrivateKey = Union[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey]

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----"
)


def make_key_and_request(key_type: KeyType) -> Tuple[PrivateKey, str]:
    """Generates a key and signs a PKCS#10 request with it (RFC 2986), with an empty subject."""
    key: PrivateKey
    if key_type == "ec-p256":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(65537, int(key_type[len("rsa-") :]))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign(key, hashes.SHA256())
    return key, request.public_bytes(serialization.Encoding.PEM).decode("ascii")


def proxy_file_of(certificates: str, key: PrivateKey) -> str:
    """Puts the key behind the first certificate, where grid tools look for it."""
    found = _CERTIFICATE.findall(certificates.replace("\r\n", "\n"))
    blocks = [f"{block}\n" for block in found]
    if len(blocks) < 2 or not _is_certificate_of(blocks[0], key):
        raise TtsClientError(
            "the service did not return a proxy for the key of the request"
        )
    # JGlobus reads RSA keys in PKCS#1 only.
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    form = serialization.PrivateFormat
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        form.TraditionalOpenSSL if is_rsa else form.PKCS8,
        serialization.NoEncryption(),
    )
    return "".join([blocks[0], pem.decode("ascii"), *blocks[1:]])


def _is_certificate_of(certificate: str, key: PrivateKey) -> bool:
    def spki(public: object) -> bytes:
        if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
            return b""
        return public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    try:
        found = x509.load_pem_x509_certificate(certificate.encode("ascii"))
        return spki(found.public_key()) == spki(key.public_key())
    except ValueError:
        return False
