"""Both transports, in front of the same servers with the same faults: the same results and errors.

Where they differ, boto3 lets an exception of its own through, or takes for whole what is not: those
faults are in a list of their own, and are errors of ours in the light transport.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import botocore
import pytest
from packaging.version import Version

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.deadline import Deadline
from django_kms_secrets.exceptions import SecretsError, StoreUnavailable
from django_kms_secrets.transport import client

from ..server.scripted import ScriptedServer, reply, reset
from ..server.silent import closed_port

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..server.embedded import Refusal

PLANTED = "planted-value"
STORES = {
    "credstash": (CredStashStore, {}),
    "credstash document": (CredStashStore, {"document": "notes"}),
    "document": (SecretsManagerStore, {"secret_id": "notes"}),
    "names": (SecretsManagerStore, {"prefix": "notes/"}),
}
READS = {
    "all": lambda store: texts(store.get_many(None)),
    "by name": lambda store: texts(store.get_many(["A", "B", "MISSING"])),
    "one": lambda store: texts({"A": store.get("A")}),
    "missing": lambda store: store.get("MISSING"),
    "stages": lambda store: texts(store.get_stages("A")),
    "listing": lambda store: store.list_secrets(),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Neither of them pauses between its attempts."""

    class Clock:
        sleep = staticmethod(lambda _: None)

    monkeypatch.setattr("botocore.endpoint.time", Clock)
    monkeypatch.setattr(client, "_pause", lambda *_: 0.0)
    # What is throttled after all attempts of a client is tried again by who uses it.
    monkeypatch.setattr(Deadline, "pause", lambda _: False)


@pytest.fixture(params=STORES)
def make(request, aws) -> Callable[..., Any]:
    """Makes a store of each kind."""
    store_class, options = STORES[request.param]
    return lambda **more: store_class(**options, **more)


@pytest.fixture
def make_document(aws) -> Callable[..., Any]:
    """Makes a store that sends one GetSecretValue for everything."""
    return lambda **options: SecretsManagerStore(secret_id="notes", **options)


def fill(make: Callable[..., Any]) -> None:
    with make() as store:
        if isinstance(store, CredStashStore):
            store.setup_key()
        store.setup()
        store.put_many({"A": PLANTED, "B": "ü\U0001f511\n" + "x" * 5000})
        store.rotate("A", PLANTED + "2", expected=store.get("A").version)
        store.stage("A", PLANTED + "3")


def texts(secrets: Any) -> Any:
    return {name: (s.name, str(s.value), s.version, type(s.value)) for name, s in secrets.items()}


def outcome(store: Any, read: Callable[[Any], Any], kind: str) -> Any:
    """What a read gives, or the error that it or opening the store ends in."""
    try:
        with store.reading():
            assert {type(service).__name__ for service in store.services} == {kind}
            return read(store)
    except SecretsError as error:
        return type(error), error.message, error.hint, error.names, error.__context__


def light(make: Callable[..., Any], read: Callable[[Any], Any], **options: Any) -> Any:
    return outcome(make(**options), read, "LightService")


def both(make: Callable[..., Any], read: Callable[[Any], Any], **options: Any) -> Any:
    """What comes of a read, by whichever transport."""
    ours = light(make, read, **options)
    theirs = outcome(make(transport="boto3", **options), read, "Service")
    assert ours == theirs
    return ours


@pytest.mark.parametrize("read", READS)
def test_reads_give_the_same(make, read):
    fill(make)
    found = both(make, READS[read])
    assert found


@pytest.mark.parametrize("read", READS)
def test_reads_of_what_is_not_set_up_fail_alike(make, read):
    assert both(make, READS[read]) is not None


@pytest.mark.parametrize("read", ["all", "by name", "stages"])
def test_the_same_requests_are_sent(make, read, aws):
    fill(make)
    with aws.counted() as ours:
        light(make, READS[read])
    with aws.counted() as theirs:
        outcome(make(transport="boto3"), READS[read], "Service")
    assert ours == theirs


# What AWS refuses

REFUSALS: list[Refusal] = [
    *((status, "InternalServerError") for status in (500, 502, 503, 504, 501)),
    (503, "ServiceUnavailable"),
    (400, "ExpiredToken"),
    (400, "ExpiredTokenException"),
    (400, "UnrecognizedClientException"),
    (403, "AccessDeniedException#not allowed to do that"),
    (403, "InvalidSignatureException"),
    (400, "ThrottlingException"),
    (429, "TooManyRequestsException"),
    (429, "Nothing"),
    (400, "ProvisionedThroughputExceededException"),
    (400, "ResourceNotFoundException"),
    (400, "InvalidRequestException#it was marked for deletion"),
    (400, "DecryptionFailure"),
    (400, {"__type": "com.amazonaws.x#ValidationException"}),
    (400, {"__type": "AccessDeniedException", "Message": "upper"}),
    (400, {"__type": "AccessDeniedException", "message": "lower", "Message": "upper"}),
    (400, {"nothing": "known"}),
    (301, {}),
    (307, {"message": "elsewhere"}),
    (404, {}),
]
# botocore 1.36 still takes the address for a part of the code; 1.40 does not.
if Version(botocore.__version__) >= Version("1.40"):
    REFUSALS.append((400, {"__type": "aws.y#Other:http://internal.amazon.com/"}))


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_refusals_are_the_same_errors(make_document, aws, refusal):
    aws.faults.append(lambda *_: refusal)
    kind, *_, context = both(make_document, READS["all"])
    assert issubclass(kind, SecretsError)
    assert context is None


@pytest.mark.parametrize(
    "refusal", [(400, "InvalidCiphertextException"), (400, "AccessDeniedException")]
)
def test_a_data_key_that_does_not_open_is_the_same_error(aws, refusal):
    fill(CredStashStore)
    aws.faults.append(lambda operation, _: refusal if operation == "Decrypt" else None)
    assert both(CredStashStore, READS["all"])[3] == ("A", "B")


@pytest.mark.parametrize("times", [1, 3, 4, 5])
@pytest.mark.parametrize("refusal", [(400, "ThrottlingException"), (500, "InternalFailure")])
def test_as_many_failures_are_borne(make_document, aws, times, refusal):
    """Three, and the fourth is the end."""
    fill(make_document)

    def read(store: Any) -> Any:
        left = iter(range(times))
        aws.faults[:] = [lambda *_: refusal if next(left, None) is not None else None]
        return READS["one"](store)

    found = both(make_document, read)
    assert isinstance(found, dict) is (times < 4)


# What the network does


def scripted(make: Callable[..., Any], script: Any, **options: Any) -> Any:
    with ScriptedServer(script) as server:
        return both(make, READS["all"], endpoint_url=server.endpoint, **options)


DOCUMENT = json.dumps(
    {"Name": "notes", "VersionId": "1" * 32, "SecretString": json.dumps({"A": PLANTED})}
).encode()


def send(data: bytes, keep: bool = True) -> Callable[[socket.socket], bool]:
    def script(connection: socket.socket) -> bool:
        connection.sendall(data)
        return keep

    return script


@pytest.mark.parametrize(
    "script",
    {
        "kept": send(reply(DOCUMENT)),
        "ended": send(reply(DOCUMENT, 200, "Connection: close"), keep=False),
        "without a length": send(reply(DOCUMENT, length=-1), keep=False),
        "chunked": send(
            reply(
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(DOCUMENT), DOCUMENT),
                200,
                "Transfer-Encoding: chunked",
                length=-1,
            )
        ),
        "another success": send(reply(DOCUMENT, 299)),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_replies_in_every_form_are_read(make_document, script):
    assert scripted(make_document, script[1])["A"][1] == PLANTED


def once(first: Callable[[socket.socket], Any]) -> Callable[[socket.socket], Any]:
    """A script for the first request of each transport; the others get the document."""
    asked = iter(range(1000))

    def script(connection: socket.socket) -> Any:
        return first(connection) if next(asked) % 2 == 0 else send(reply(DOCUMENT))(connection)

    return script


def reset_in_the_body(connection: socket.socket) -> None:
    connection.sendall(reply(DOCUMENT[:20], length=len(DOCUMENT)))
    reset(connection)


CUTS: dict[str, Callable[[socket.socket], Any]] = {
    "closed": lambda _: None,
    "reset": reset,
    "no HTTP": send(b"this is not HTTP\r\n\r\n", keep=False),
    "half a status line": send(b"HTTP/1.1 2", keep=False),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_connection_that_ends_before_a_reply_is_the_same_error(make_document, cut):
    kind, message, *_ = scripted(make_document, CUTS[cut])
    assert kind is StoreUnavailable
    assert "got no answer from Secrets Manager at http://localhost:" in message


@pytest.mark.parametrize("cut", [*CUTS, "in the body"])
def test_a_connection_that_ends_once_is_no_error(make_document, cut):
    first = CUTS.get(cut, reset_in_the_body)
    assert scripted(make_document, once(first))["A"][1] == PLANTED


def test_a_connection_that_ends_in_the_body_is_the_same_error(make_document):
    assert "ConnectionClosedError" in scripted(make_document, reset_in_the_body)[1]


def test_a_refused_connection_is_the_same_error(make):
    found = both(make, READS["all"], endpoint_url=closed_port())
    assert found[1].endswith("(EndpointConnectionError)")


def test_a_name_that_does_not_resolve_is_the_same_error(make_document, monkeypatch):
    import socket

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr("socket.getaddrinfo", fail)
    found = both(make_document, READS["all"], endpoint_url="http://nowhere.localhost:1")
    assert found[1].endswith("(EndpointConnectionError)")


def test_a_server_that_says_nothing_is_the_same_error(make_document):
    found = scripted(make_document, lambda connection: connection.recv(1), read_timeout=0.1)
    assert found[1].endswith("(ReadTimeoutError)")


def test_a_redirection_is_not_followed(make_document):
    with ScriptedServer(send(reply(DOCUMENT))) as other:
        found = scripted(
            make_document, send(reply(b"", 302, f"Location: {other.endpoint}/", length=0))
        )
        assert other.requests == []
    assert "cannot be read (HTTP status 302)" in found[1]


@pytest.mark.parametrize(
    "page",
    [
        reply(b"<html><body>busy</body></html>", 503),
        reply(b"", 500),
        reply(b"<html>no</html>", 403),
        reply(b"Forbidden", 403),
        reply(b"<html>hello</html>", 200),
        reply(b"", 200),
        reply(b"{}", 200),
        reply(b'{"SecretString": null}', 200),
        reply(b'{"SecretString": ', 200),
        reply(b'{"SecretString": "{}"}', 200),
    ],
    ids=lambda page: page[9:12].decode() + " " + page.partition(b"\r\n\r\n")[2].decode(),
)
def test_a_reply_of_something_else_is_the_same_error(make_document, page):
    assert issubclass(scripted(make_document, send(page))[0], SecretsError)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'"text"',
        b'{"SecretString": 5}',
        b'{"SecretString": ["a"]}',
        b'{"SecretBinary": "\xc3\xbc"}',
        b'{"SecretString": "{}", "VersionId": "1", "VersionStages": 7}',
        b'{"SecretString": "{}", "VersionId": "1", "CreatedDate": "soon"}',
        b'{"SecretString": "{}", "VersionId": "1", "CreatedDate": 1e300}',
        b'\xff{"SecretString": "{}"}',
        b"[" * 100_000,
    ],
    ids=lambda body: ascii(body[:60]),
)
def test_a_reply_of_other_types_is_an_error_of_ours(make_document, body):
    """botocore lets TypeError and the like through, or takes them for what they are not."""
    with ScriptedServer(send(reply(body))) as server:
        found = light(make_document, READS["all"], endpoint_url=server.endpoint)
    assert found[0] is StoreUnavailable


def test_a_reply_that_is_cut_off_is_never_taken_for_whole(make_document):
    """botocore reads what has come."""
    with ScriptedServer(send(reply(DOCUMENT, length=len(DOCUMENT) + 1), keep=False)) as server:
        found = light(make_document, READS["all"], endpoint_url=server.endpoint)
        assert server.connections == client.ATTEMPTS
    assert found[:2] == (
        StoreUnavailable,
        f"GetSecretValue got no answer from Secrets Manager at {server.endpoint} "
        "(ConnectionClosedError)",
    )


@pytest.mark.parametrize("length", [None, -1], ids=["with a length", "without"])
def test_a_reply_without_end_is_given_up(make_document, monkeypatch, length):
    monkeypatch.setattr(client, "_LONGEST_REPLY", len(DOCUMENT) + 9)
    script = send(reply(DOCUMENT + b" " * 10, length=length), keep=False)
    with ScriptedServer(script) as server:
        found = light(make_document, READS["all"], endpoint_url=server.endpoint)
    assert found[0] is StoreUnavailable


def test_a_checksum_that_does_not_fit_is_another_attempt_and_then_an_error(aws):
    """botocore takes the reply after its last attempt."""
    body = b'{"Items": []}'
    good = reply(body, 200, f"X-Amz-Crc32: {zlib.crc32(body)}")
    bad = reply(body, 200, f"X-Amz-Crc32: {zlib.crc32(body) ^ 1}")
    damaged = iter([True, False])
    for script, expected in (
        (send(good), {}),
        (lambda connection: send(bad if next(damaged) else good)(connection), {}),
        (send(bad), StoreUnavailable),
    ):
        with ScriptedServer(script) as server:
            found = light(CredStashStore, READS["all"], endpoint_url=server.endpoint)
        assert (found[0] if found else {}) == expected


# TLS


def over_tls(
    make: Callable[..., Any], context: Any, directory: Any, bundle: Any, monkeypatch: Any
) -> Any:
    """Both transports over TLS; they are told whom to trust in different ways."""
    with ScriptedServer(send(reply(DOCUMENT)), context) as server:
        monkeypatch.setenv("SSL_CERT_DIR", str(directory))
        ours = light(make, READS["all"], endpoint_url=server.endpoint)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        theirs = outcome(make(endpoint_url=server.endpoint), READS["all"], "Service")
    assert ours == theirs
    return ours


def test_a_certificate_of_a_known_authority_is_accepted(make_document, certificates, monkeypatch):
    found = over_tls(
        make_document,
        certificates.server,
        certificates.directory,
        certificates.authority,
        monkeypatch,
    )
    assert found["A"][1] == PLANTED


def test_a_certificate_of_another_name_is_the_same_error(make_document, certificates, monkeypatch):
    found = over_tls(
        make_document,
        certificates.elsewhere,
        certificates.directory,
        certificates.authority,
        monkeypatch,
    )
    assert found[0] is StoreUnavailable
    assert found[1].endswith("(SSLError)")


def test_a_certificate_of_an_unknown_authority_is_the_same_error(
    make_document, certificates, monkeypatch, tmp_path
):
    from ..server.certificates import Certificates

    others = Certificates(tmp_path / "others")
    found = over_tls(
        make_document, others.server, certificates.directory, certificates.authority, monkeypatch
    )
    assert found[0] is StoreUnavailable
    assert found[1].endswith("(SSLError)")


def test_no_error_has_a_value_in_its_traceback(make_document, aws):
    """…of the reply that could not be read, or of the keys that signed the request."""
    import traceback

    body = b'{"SecretString": "%s", "VersionStages": 7}' % PLANTED.encode()
    with ScriptedServer(send(reply(body))) as server:
        store = make_document(endpoint_url=server.endpoint)
        with store.reading(), pytest.raises(StoreUnavailable) as caught:
            store.get_many(None)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    ours = [frame for frame in frames if "django_kms_secrets" in frame.f_code.co_filename]
    assert len(ours) > 3
    assert PLANTED not in repr([frame.f_locals for frame in ours])
    assert PLANTED not in "".join(traceback.format_exception(caught.value))


def test_nothing_of_a_reply_is_logged(make, aws, caplog):
    """At DEBUG botocore logs every reply."""
    fill(make)

    def logged(read: Callable[..., Any], kind: str, **options: Any) -> list[str]:
        caplog.clear()
        assert outcome(make(**options), read, kind)
        return [record.getMessage() for record in caplog.records if record.name != "werkzeug"]

    caplog.set_level("DEBUG")
    assert logged(READS["all"], "LightService") == []
    assert any(
        "Plaintext" in text or PLANTED in text
        for text in logged(READS["all"], "Service", transport="boto3")
    )
