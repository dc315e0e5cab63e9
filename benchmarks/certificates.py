"""A CA of the benchmark's own, added to those that the system trusts."""

from __future__ import annotations

import re
import ssl
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import botocore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)
# Where a system has its bundle, when OpenSSL was built for another one.
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


def make(here: Path) -> None:
    """Make ``server.pem``, ``server.key``, and what to trust: ``bundle.pem`` and ``certs/``.

    The two have the same certificates, the system's and one more; the directory is hashed, so that
    OpenSSL reads the one it needs. Needs ``openssl``, the command.
    """
    ca_key, ca = _certificate("benchmark CA", None)
    key, certificate = _certificate("localhost", (ca_key, ca))
    (here / "server.pem").write_bytes(_pem(certificate))
    (here / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    texts = [*_CERTIFICATE.findall(_bundle().read_bytes()), _pem(ca)]
    (here / "bundle.pem").write_bytes(b"".join(texts))
    directory = here / "certs"
    directory.mkdir()
    for number, text in enumerate(texts):
        (directory / f"{number}.pem").write_bytes(text)
    subprocess.run(["openssl", "rehash", directory], check=True)


def _bundle() -> Path:
    known = ssl.get_default_verify_paths().openssl_cafile
    # The last is botocore's own, which is always there.
    paths = [Path(known), *map(Path, _BUNDLES), Path(botocore.__file__).with_name("cacert.pem")]
    return next(path for path in paths if path.is_file())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    name: str, issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A key and its certificate, by an issuer, or a CA of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, parent = (issuer[0], issuer[1].subject) if issuer else (key, subject)
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(parent)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    return key, builder.sign(signer, hashes.SHA256())
