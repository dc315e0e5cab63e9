"""A CA for tests, in the forms in which a system has one, and certificates of servers."""

from __future__ import annotations

import hashlib
import ssl
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

NAME = "test ca"


class Certificates:
    """A CA and what it signed.

    Attributes:
        authority: its certificate, a file.
        directory: the same, found by its hash.
        server, elsewhere: what a server on localhost, and one of another name, shows.
    """

    def __init__(self, here: Path) -> None:
        here.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        text = self._signed(NAME, self._key, authority=True)
        self.authority = here / "ca.pem"
        self.authority.write_bytes(text)
        self.directory = here / "certs"
        self.directory.mkdir()
        (self.directory / f"{_hash(NAME)}.0").write_bytes(text)
        self.server = self._server(here / "server.pem", "localhost")
        self.elsewhere = self._server(here / "elsewhere.pem", "elsewhere.example")

    def _server(self, path: Path, name: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self._signed(name, key)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey, authority: bool = False) -> bytes:
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(NAME))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False
            )
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _hash(name: str) -> str:
    """OpenSSL's hash of a name that is one common name, in lower case (X509_NAME_hash)."""
    value = b"\x0c" + bytes([len(name)]) + name.encode()
    pair = b"\x06\x03\x55\x04\x03" + value
    part = b"\x30" + bytes([len(pair)]) + pair
    digest = hashlib.sha1(b"\x31" + bytes([len(part)]) + part).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"
