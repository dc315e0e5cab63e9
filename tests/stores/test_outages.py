"""The last known good copy with AWS: what is an outage, what a key of KMS adds, whole sites."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from django_kms_secrets import (
    AccessDenied,
    DecryptionError,
    StoreUnavailable,
    account,
    deadline,
    files,
    lastgood,
    load,
)
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.config import read_config
from django_kms_secrets.transport import client

from ..server.certificates import Certificates
from ..server.embedded import REGION, EmbeddedAWS
from ..server.scripted import ScriptedServer, reply
from ..server.silent import closed_port

VALUE = "hunter2-marker"
ALIAS = "alias/credstash"
URLS = [
    "credstash://?names=A&",
    "credstash://?document=doc&",
    "secretsmanager:///doc?",
    "secretsmanager://?prefix=p/&names=A&",
]


@pytest.fixture
def memory():
    """A directory in memory."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def _nothing_said():
    lastgood._said.clear()


@pytest.fixture
def configured(aws, memory):
    """Makes a store with a value and the URL of a configuration with a copy of it."""
    return lambda url, **options: filled(url, path=memory / "copy", **options)


def filled(url, **options):
    kept = {"max_age": 3600, **options}
    url += "timeout=60&" + "&".join(f"last_known_good.{name}={kept[name]}" for name in kept)
    with CredStashStore() as store:
        store.setup_key()
    with read_config(url).make_store() as store:
        store.setup()
        store.put("A", "old-marker")
        store.put("A", VALUE)
    return url


def starts(url):
    """Whether a new process would start."""
    try:
        return load(url)["A"] == VALUE
    except StoreUnavailable:
        return False


def refuse(aws, status, code, *operations):
    """Answer with this from now on, to these operations or to all."""
    aws.faults[:] = [lambda name, _: (status, code) if name in operations or not operations else 0]


@pytest.mark.parametrize("url", URLS)
def test_outages_and_refusals(aws, configured, url, clock, monkeypatch):
    """Every store in AWS: faults and throttling are outages; a refusal is none, and ends it."""
    monkeypatch.setattr(client, "_pause", lambda *_: 0.0)
    url = configured(url)
    assert load(url).fallbacks("A") == ["old-marker"]
    for status, code in (
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        (400, "ThrottlingException"),
    ):
        refuse(aws, status, code)
        if code == "ThrottlingException":  # it is borne until the deadline
            aws.faults.insert(0, lambda *_: clock.pass_by(10))
        secrets = load(url)
        assert (secrets["A"], secrets.fallbacks("A")) == (VALUE, ["old-marker"])
    for code in ("ExpiredTokenException", "AccessDeniedException"):
        aws.faults.clear()
        assert starts(url)
        refuse(aws, 400, code)
        with pytest.raises(AccessDenied):
            load(url)["A"]
        refuse(aws, 503, "ServiceUnavailable")
        assert not starts(url)


@pytest.mark.parametrize("transport", ["auto", "boto3"])
def test_whose_answer_it_is(monkeypatch, tmp_path, transport):
    """No connection is an outage; a certificate of another name and a page of a proxy are none."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "AKIAEMBEDDED"),
        ("AWS_SECRET_ACCESS_KEY", "embedded"),
        ("AWS_DEFAULT_REGION", REGION),
    ):
        monkeypatch.setenv(name, value)
    certificates = Certificates(tmp_path / "certificates")

    def is_outage(endpoint):
        with pytest.raises(StoreUnavailable) as caught:
            load(f"secretsmanager:///doc?endpoint_url={endpoint}&transport={transport}")["A"]
        return caught.value.is_outage

    def page(connection):
        connection.sendall(reply(b"<html>please sign in</html>"))

    assert is_outage(closed_port())
    with ScriptedServer(page) as server:
        assert not is_outage(server.endpoint)
    with ScriptedServer(page, certificates.elsewhere) as server:
        assert not is_outage(server.endpoint)


def test_a_batch_with_a_fault_and_a_refusal(aws, configured):
    """The refusal counts, in whatever order they stand."""
    url = configured("secretsmanager://?prefix=p/&names=A,B&")
    errors = [
        {"SecretId": "p/A", "ErrorCode": "InternalServiceError", "Message": "x"},
        {"SecretId": "p/B", "ErrorCode": "AccessDeniedException", "Message": "x"},
    ]
    assert starts(url)
    refuse(aws, 200, {"SecretValues": [], "Errors": errors}, "BatchGetSecretValue")
    with pytest.raises(AccessDenied):
        load(url)["A"]


STS_GIVES = b"""<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>ASIAEMBEDDED</AccessKeyId><SecretAccessKey>planted</SecretAccessKey>
<SessionToken>planted</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


class TestSourceOfCredentials:
    """It may be out as the store may; only its refusal is one."""

    @pytest.fixture
    def sts(self, aws, monkeypatch, tmp_path, impatient):
        """A role of a web identity, and what STS answers: statuses and codes, the last for ever."""
        answers = [(200, "")]

        def answer(connection):
            status, code = answers.pop(0) if len(answers) > 1 else answers[0]
            error = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>".encode()
            connection.sendall(reply(error if code else STS_GIVES, status))
            return True

        (tmp_path / "token").write_text("planted")
        with ScriptedServer(answer) as server:
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.endpoint)
            monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/site")
            monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
            yield answers

    @pytest.mark.parametrize(
        "status, code",
        [(503, "ServiceUnavailable"), (500, "Unheard"), (400, "IDPCommunicationError")],
    )
    def test_sts_is_out(self, sts, configured, status, code, caplog):
        """The copy is served then, and stays; when STS refuses the role, it is removed."""
        url = configured("secretsmanager:///doc?")
        assert starts(url)
        for _ in range(2):
            sts[:] = [(status, code)]
            assert starts(url)
        assert f"(AssumeRoleWithWebIdentity was refused, {code})" in caplog.text
        sts[:] = [(403, "AccessDenied")]
        with pytest.raises(AccessDenied, match="AssumeRoleWithWebIdentity was refused"):
            load(url)["A"]
        sts[:] = [(status, code)]
        assert not starts(url)

    def test_sts_throttles(self, sts, configured, monkeypatch):
        """It is asked again until the time is over, as the store is."""
        monkeypatch.setattr(deadline, "_THROTTLED_PAUSE", 0.0)
        url = configured("secretsmanager:///doc?")
        sts[:] = [(400, "Throttling")] * 15 + [(200, "")]
        assert load(url)["A"] == VALUE
        assert sts == [(200, "")]

    def test_nobody_listens_where_sts_was(self, sts, monkeypatch):
        """What asks for the credentials alone calls that an outage too."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", closed_port())
        with pytest.raises(StoreUnavailable, match="EndpointConnectionError"):
            account.credentials(read_config("secretsmanager:///doc?timeout=60").make_store())

    @pytest.mark.parametrize("transport", ["auto", "boto3"])
    def test_the_agent_of_a_container(self, aws, memory, monkeypatch, transport):
        """Gone, or too busy, it is an outage; what it refuses is none."""
        monkeypatch.setattr(client, "_AGENT_PAUSE", 0)
        monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
        url = filled(f"secretsmanager:///doc?transport={transport}&", path=memory / "copy")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        credentials = {"AccessKeyId": "A", "SecretAccessKey": "planted", "Token": "planted"}
        good = json.dumps({**credentials, "Expiration": "2099-01-01T00:00:00Z"}).encode()
        said = [reply(good)]

        def answer(connection):
            connection.sendall(said[0])
            return bool(said[0])  # or it hangs up

        with ScriptedServer(answer) as agent:
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.endpoint)
            assert load(url)["A"] == VALUE
            for out in (reply(b"planted", 500), reply(b"", 429), b""):
                said[:] = [out]
                assert starts(url)
            said[:] = [reply(b"", 403)]
            with pytest.raises(AccessDenied):
                load(url)["A"]
            said[:] = [reply(b"", 500)]
            assert not starts(url)


class TestSealed:
    """With a key_id the copy may lie on a disk."""

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "copy"

    @pytest.fixture(autouse=True)
    def url(self, aws, path):
        """Of a store that does not need KMS itself."""
        url = filled("secretsmanager:///doc?", path=path, key_id=ALIAS)
        assert load(url).fallbacks("A") == ["old-marker"]
        return url

    @pytest.fixture(autouse=True)
    def out(self, aws, url):
        """The store is out, and KMS is not."""
        refuse(aws, 503, "ServiceUnavailable", "GetSecretValue")

    def test_it_is_served(self, url, path):
        """Values and fallbacks; in the file they cannot be read."""
        secrets = load(url)
        assert (secrets["A"], secrets.fallbacks("A")) == (VALUE, ["old-marker"])
        assert b"marker" not in path.read_bytes()

    @pytest.mark.parametrize(
        "code",
        [
            "DisabledException",
            "KMSInvalidStateException",
            "NotFoundException",
            "AccessDeniedException",
        ],
    )
    def test_the_key_may_not_be_used(self, aws, url, path, code):
        """Disabled, waiting for its deletion, gone or denied: then it does not open any more, and
        is removed."""
        outage = aws.faults[0]
        aws.faults.append(lambda name, _: (400, code) if name == "Decrypt" else None)
        assert not starts(url)
        assert not path.exists()
        aws.faults[:] = [outage]
        assert not starts(url)

    def test_kms_is_out_too(self, aws, url, path, caplog):
        """Then there is nothing to start from; it is not removed."""
        outage = aws.faults[0]
        aws.faults.append(lambda name, _: (503, "KMSInternalException") if name == "Decrypt" else 0)
        assert not starts(url)
        assert "the last known good copy is not used" in caplog.text
        aws.faults[:] = [outage]
        assert starts(url)

    def test_of_another_configuration(self, aws, url, path):
        """KMS does not open it for one, whatever the file says of itself."""
        other = url.replace("max_age=3600", "max_age=36000")
        content = json.loads(path.read_text())
        content["for"] = lastgood._binding(read_config(other))
        path.write_text(json.dumps(content))
        assert not starts(other)

    def test_it_was_changed(self, url, path, caplog):
        """One bit of it is enough."""
        content = json.loads(path.read_text())
        sealed = content["sealed"]["contents"]
        content["sealed"]["contents"] = ("B" if sealed[0] == "A" else "A") + sealed[1:]
        path.write_text(json.dumps(content))
        assert not starts(url)
        assert "HMAC does not match" in caplog.text

    def test_after_a_boot(self, url, path, monkeypatch, tmp_path):
        """It is good after a boot too, as the clock of the machine says."""
        (tmp_path / "boot").write_text("another")
        monkeypatch.setattr(lastgood, "_BOOT", tmp_path / "boot")
        assert starts(url)
        now = lastgood.time.time
        monkeypatch.setattr(lastgood.time, "time", lambda: now() + 3601)
        assert not starts(url)
        assert not path.exists()

    def test_a_refusal_by_a_clock_that_was_ahead(self, aws, url, path, monkeypatch, tmp_path):
        """After the next boot what is fetched is kept; what was fetched before it is not used."""
        outage = aws.faults[0]
        before = path.read_bytes()
        now = lastgood.time.time
        monkeypatch.setattr(lastgood.time, "time", lambda: now() + 2 * 86400)
        refuse(aws, 400, "AccessDeniedException")
        with pytest.raises(AccessDenied):
            load(url)["A"]
        monkeypatch.setattr(lastgood.time, "time", now)
        (tmp_path / "boot").write_text("another")
        monkeypatch.setattr(lastgood, "_BOOT", tmp_path / "boot")
        files.write_private(path, before.decode())
        aws.faults[:] = [outage]
        assert not starts(url)
        assert not path.exists()
        aws.faults.clear()
        assert starts(url)
        aws.faults[:] = [outage]
        assert starts(url)
        refuse(aws, 400, "AccessDeniedException")
        with pytest.raises(AccessDenied):
            load(url)["A"]
        aws.faults[:] = [outage]
        assert not starts(url)

    @pytest.mark.parametrize(("ahead", "boot"), [(60, "elsewhere"), (2 * 86400, "")])
    def test_a_refusal_elsewhere(self, url, path, ahead, boot):
        """Where machines share a disk, one's refusal ends what another one has, by their clocks.

        So does one of which nobody knows in which boot it was, however far ahead its clock is.
        """
        content = json.loads(path.read_text())
        fetched = lastgood.time.time() + ahead
        moment = {"fetched": fetched, "boot": boot, "since": 0, "values": {}}
        refusal = {"format": content["format"], "for": content["for"], "refused": moment}
        files.write_private(path.with_name("copy.refused"), json.dumps(refusal))
        assert not starts(url)
        assert not path.exists()

    @pytest.mark.parametrize("region", [REGION, "eu-west-1"])
    def test_the_region_of_an_arn(self, aws, url, path, region, monkeypatch):
        """A key that is given whole is asked for where it is; and not where the store is."""
        arn = f"arn:aws:kms:{region}:111122223333:key/x"
        aws.faults.clear()
        denied = reply(b'{"__type": "AccessDeniedException"}', 400)
        with ScriptedServer(lambda connection: connection.sendall(denied)) as kms:
            monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.endpoint)
            assert starts(url.replace(ALIAS, arn))
        ((head, body),) = kms.requests
        assert f"/{region}/kms/aws4_request" in head
        assert json.loads(body)["KeyId"] == arn

    def test_it_cannot_be_sealed(self, aws, url, path, caplog):
        """The site has its secrets nevertheless; the log says once why there is no copy."""
        path.unlink()
        refuse(aws, 400, "AccessDeniedException", "GenerateDataKey")
        assert starts(url)
        assert not path.exists()
        assert caplog.text.count("is not kept: GenerateDataKey was refused") == 1


SETTINGS = """
from django_kms_secrets import load
KMS_SECRETS = {url!r}
secrets = load(KMS_SECRETS)
SECRET_KEY = secrets["A"]
SECRET_KEY_FALLBACKS = secrets.fallbacks("A")
INSTALLED_APPS = ["django_kms_secrets"]
LOGGING_CONFIG = None
"""


def check(directory):
    """`manage.py check` in a process of its own: its exit code, and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "django", "check", "--settings", "site_settings"],
        env={**os.environ, "PYTHONPATH": f"{directory}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "marker" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_site(aws, configured, tmp_path):
    """It starts while the store is out, and says so; never again once it was refused."""
    url = configured("credstash://?names=A&")
    (tmp_path / "site_settings.py").write_text(SETTINGS.format(url=url))
    assert check(tmp_path) == (0, "System check identified no issues (0 silenced).\n")
    refuse(aws, 503, "ServiceUnavailable")
    code, words = check(tmp_path)
    assert code == 0
    assert "CredStash table credential-store in ap-northeast-2 is out" in words.partition("\n")[0]
    assert "kms_secrets.W009) the secrets of CredStash table credential-store" in words
    assert re.search(r"last known good copy of \d minutes ago", words)
    refuse(aws, 400, "AccessDeniedException")
    code, words = check(tmp_path)
    assert code == 1
    assert "AccessDenied" in words
    refuse(aws, 503, "ServiceUnavailable")
    code, words = check(tmp_path)
    assert code == 1
    assert "StoreUnavailable" in words


def test_a_server_that_is_down(memory, tmp_path, monkeypatch):
    """Nobody listens any more where AWS was."""
    server = EmbeddedAWS()
    server.start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEMBEDDED")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "embedded")
        url = filled("secretsmanager:///doc?", path=memory / "copy")
        assert load(url).fallbacks("A") == ["old-marker"]
    finally:
        server.stop()
    (tmp_path / "site_settings.py").write_text(SETTINGS.format(url=url))
    code, words = check(tmp_path)
    assert (code, "W009" in words) == (0, True)


def test_a_refusal_of_kms_is_one(aws, configured):
    """A table whose key is disabled has not gone away."""
    url = configured("credstash://?names=A&")
    assert starts(url)
    refuse(aws, 400, "DisabledException", "Decrypt")
    with pytest.raises(DecryptionError):
        load(url)["A"]
    refuse(aws, 503, "ServiceUnavailable")
    assert not starts(url)
