"""What reading one secret adds to the start of a process, by the way it is read.

Whole processes that load Django as a wsgi.py does, and import settings, are run in turn, against a
server with TLS in this process: settings without secrets, with one document read by boto3, and with
the same document read by this package, once through boto3 and once without. What is added to the
settings without secrets in the same round is printed, in medians: seconds of the whole process, of
the import of the settings, and of the CPU in that, which other load on the machine disturbs less.

    python benchmarks/cold_start.py [--rounds 15]

Needs openssl (the command), for a directory of CA certificates, and the system's CA bundle.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

REPLY = {
    "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:notes-AbCdEf",
    "Name": "notes",
    "VersionId": "7c1de6a3-0000-4000-8000-000000000000",
    "SecretString": json.dumps({"SECRET_KEY": "0123456789" * 5, "DATABASE_URL": "postgres://db"}),
    "VersionStages": ["AWSCURRENT"],
    "CreatedDate": 1700000000.0,
}

SETTINGS = {
    "no secrets": "SECRET_KEY = 'x'",
    "boto3": (
        "import json, boto3\n"
        "client = boto3.client('secretsmanager')\n"
        "reply = client.get_secret_value(SecretId='notes')\n"
        "SECRET_KEY = json.loads(reply['SecretString'])['SECRET_KEY']\n"
    ),
    "ours, boto3": (
        "from django_kms_secrets import load\n"
        "SECRET_KEY = load('secretsmanager:///notes?transport=boto3')['SECRET_KEY']\n"
    ),
    "ours": (
        "from django_kms_secrets import load\n"
        "SECRET_KEY = load('secretsmanager:///notes')['SECRET_KEY']\n"
    ),
    "ours, import only": "import django_kms_secrets\nSECRET_KEY = 'x'",
}
CHILD = """
import os, sys, time
import django.conf, django.core.wsgi
start = time.perf_counter(), time.process_time()
assert django.conf.settings.SECRET_KEY
wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
assert ("boto3" in sys.modules) is ("boto3" in os.environ["DJANGO_SETTINGS_MODULE"])
print(wall, cpu)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        bundle = certificates(here)
        environ = surroundings(here)
        for name, text in SETTINGS.items():
            (here / f"{module(name)}.py").write_text(text)
        with Server(here) as port:
            environ["AWS_ENDPOINT_URL"] = f"https://localhost:{port}"
            trust = {
                "CA file": {"SSL_CERT_FILE": str(bundle), "SSL_CERT_DIR": str(here / "none")},
                "CA directory": {"SSL_CERT_DIR": str(here / "certs")},
            }
            for name, variables in trust.items():
                print(f"\n{name}, {rounds} rounds")
                report(measure(rounds, {**environ, **variables}, bundle))


def module(name: str) -> str:
    return "settings_" + name.replace(", ", "_").replace(" ", "_")


def surroundings(here: Path) -> dict[str, str]:
    """The environment of the processes: nothing of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    kept["PYTHONPATH"] = os.pathsep.join([str(here), *kept.get("PYTHONPATH", "").split(os.pathsep)])
    return {
        **kept,
        "HOME": str(here),
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def measure(
    rounds: int, environ: dict[str, str], bundle: Path
) -> dict[str, list[tuple[float, float, float]]]:
    """Run every variant once a round, and one round before that to fill the caches.

    Returns:
        For each variant and round: seconds of the process, of the import, and of its CPU.
    """
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in SETTINGS}
    for number in range(rounds + 1):
        for name, runs in taken.items():
            variables = {**environ, "DJANGO_SETTINGS_MODULE": module(name)}
            if "boto3" in name:  # it does not know what the system trusts
                variables["AWS_CA_BUNDLE"] = str(bundle)
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", CHILD], env=variables, stdout=subprocess.PIPE, check=True
            )
            wall = time.perf_counter() - start
            if number:
                inside = done.stdout.split()
                runs.append((wall, float(inside[0]), float(inside[1])))
    return taken


def report(taken: dict[str, list[tuple[float, float, float]]]) -> None:
    """Print what each variant adds to the settings without secrets, and how boto3 compares."""
    base = taken.pop("no secrets")
    added = {
        # Of the same round, so that a machine that slows down does not count.
        name: [
            statistics.median(mine - theirs for mine, theirs in zip(ours, plain, strict=True))
            for ours, plain in zip(zip(*runs, strict=True), zip(*base, strict=True), strict=True)
        ]
        for name, runs in taken.items()
    }
    print(f"{'added by':20}{'process':>12}{'the import':>12}{'its CPU':>12}   boto3 takes")
    for name, row in added.items():
        cells = "".join(f"{value * 1000:9.1f} ms" for value in row)
        ratios = (theirs / mine for theirs, mine in zip(added["boto3"], row, strict=True))
        print(f"{name:20}{cells}   {' '.join(f'{ratio:.1f}x' for ratio in ratios)}")


class Server:
    """A server on loopback that answers every request with the document, over TLS."""

    def __init__(self, here: Path) -> None:
        body = json.dumps(REPLY).encode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one write: two would wait for each other (Nagle, delayed ACK)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(here / "server.pem", here / "server.key")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> int:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self._server.server_port

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def certificates(here: Path) -> Path:
    """Make a CA and the server's certificate; add the CA to what the system trusts.

    Returns:
        The bundle; the directory ``certs`` has the same.
    """
    ca_key, ca = certificate("benchmark CA", None)
    key, cert = certificate("localhost", (ca_key, ca))
    (here / "server.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (here / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    system = Path(ssl.get_default_verify_paths().openssl_cafile).read_bytes()
    trusted = [*x509.load_pem_x509_certificates(system), ca]
    directory = here / "certs"
    directory.mkdir()
    texts = [one.public_bytes(serialization.Encoding.PEM) for one in trusted]
    for number, text in enumerate(texts):
        (directory / f"{number}.pem").write_bytes(text)
    subprocess.run(["openssl", "rehash", directory], check=True)
    bundle = here / "bundle.pem"
    bundle.write_bytes(b"".join(texts))
    return bundle


def certificate(
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


if __name__ == "__main__":
    main()
