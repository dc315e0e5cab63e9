"""`secrets doctor`: one line for each thing that can be wrong, with the mend, and never a value."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import boto3
import pytest

from django_kms_secrets import load
from django_kms_secrets.account import override_of
from django_kms_secrets.aws import Service
from django_kms_secrets.config import read_config

from ..server.embedded import REGION
from ..server.silent import SilentServer, closed_port
from .conftest import MARK, denied
from .doors import inside

CHECKS = [
    "configuration",
    "region",
    "credentials",
    "identity",
    "transport",
    "endpoint",
    "table",
    "key",
    "query",
    "names",
    "decrypt",
    "context",
    "fetch",
    "pending",
    "versions",
    "clock",
]


class Rows:
    """What a doctor said, by check."""

    def __init__(self, done):
        assert MARK not in done.words
        assert "Traceback" not in done.words
        assert done.err == ""
        self.code = done.code
        self.rows = json.loads(done.out)
        self.names = [row["check"] for row in self.rows]
        assert all(row["mend"] for row in self.rows if row["state"] in {"warning", "error"})
        assert self.code == int("error" in self.states)

    def __getitem__(self, check):
        (row,) = [row for row in self.rows if row["check"] == check]
        return row

    @property
    def states(self):
        return [row["state"] for row in self.rows]

    def at(self, state):
        """The checks in a state."""
        return [row["check"] for row in self.rows if row["state"] == state]


def doctor(url, door="module"):
    return Rows(inside(door, url, ["doctor", "-f", "json"]))


@pytest.fixture
def names(url, fill):
    """A healthy table with two names, and the URL that reads them."""
    fill({"A": f"{MARK}-a", "B": f"{MARK}-b"})
    return f"{url}&names=A,B"


#: What STS says to whom a policy denies it.
DENIED = (
    b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
    b"<Message>no</Message></Error></ErrorResponse>"
)


@contextmanager
def sts_says(aws, status, body):
    """Give STS's replies a status and a body; it is the one service without X-Amz-Target."""
    moto = aws._moto

    def changed(environ, start_response):
        if "HTTP_X_AMZ_TARGET" in environ:
            return moto(environ, start_response)
        start_response(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
        return [body]

    aws._moto = changed
    try:
        yield
    finally:
        aws._moto = moto


@pytest.fixture
def clock(monkeypatch):
    """A function that sets the clock of AWS, by the Date of its replies."""

    def ahead(seconds):
        date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)
        monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: date)

    return ahead


class TestHealthy:
    @pytest.mark.parametrize("door", ["module", "manage"])
    def test_all_is_well(self, names, door):
        """Every check is ok, the code is 0, and no check is left out."""
        found = doctor(names, door)
        assert found.names == CHECKS
        assert set(found.states) == {"ok"}

    def test_text(self, names, secrets):
        """As text: a line for each check, in a pipe separated by tabs."""
        lines = secrets("doctor", url=names).ok().out.splitlines()
        assert [line.split("\t")[1] for line in lines] == CHECKS
        assert lines[0] == (
            f"ok\tconfiguration\tCredStash table credential-store in {REGION}, 2 NAMES\t"
        )
        assert lines[3].startswith("ok\tidentity\tarn:aws:")
        assert lines[4] == "ok\ttransport\tsettings are read without boto3\t"
        assert lines[9] == "ok\tnames\tall 2 NAMES are there\t"

    def test_reads_only(self, names, aws):
        """It asks what the settings ask, and what describes; it writes nothing."""
        with aws.counted() as counted:
            doctor(names)
        assert set(counted) == {
            "dynamodb.DescribeTable",
            "trentservice.DescribeKey",
            "dynamodb.Query",
            "trentservice.Decrypt",
        }

    def test_without_names_it_scans(self, url, names, aws):
        """The permission to scan is tried where the settings need it, and only there."""
        found = doctor(url)
        assert found.names == ["scan" if name == "query" else name for name in CHECKS]
        assert found["scan"]["found"] == "dynamodb:Scan is allowed: 2 versions of 2 names"
        assert found["fetch"]["found"] == "the settings can read 2 secrets"

    def test_endpoint_is_an_override(self, names, aws, monkeypatch):
        """What sends requests elsewhere than to AWS is named."""
        assert "not AWS itself: AWS_ENDPOINT_URL)" in doctor(names)["endpoint"]["found"]
        found = doctor(f"{names}&endpoint_url={aws.endpoint}")["endpoint"]["found"]
        assert found.count('(not AWS itself: OPTIONS["endpoint_url"])') == 2
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"{aws.endpoint}/")
        assert "(not AWS itself: AWS_ENDPOINT_URL_KMS)" in doctor(names)["endpoint"]["found"]

    def test_transport(self, names, monkeypatch):
        """It says why settings are read by boto3, where they are."""
        found = doctor(f"{names}&transport=boto3")["transport"]
        assert found["found"] == 'settings are read by boto3: OPTIONS["transport"] is "boto3"'
        assert found["state"] == "ok"
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
        found = doctor(names)["transport"]["found"]
        assert found == "settings are read by boto3: AWS_MAX_ATTEMPTS is set"


class TestConfiguration:
    @pytest.mark.parametrize(
        "url",
        ["", "nowhere", f"postgres://u:{MARK}@h/db", "credstash://?tabel=x", "secretsmanager://"],
    )
    def test_not_readable(self, url):
        """A configuration that cannot be read is one error, and its text is not repeated."""
        found = doctor(url)
        assert (found.names, found.states) == (["configuration"], ["error"])

    def test_offline_stores(self, file_url, tmp_path):
        """A file is looked at too: whether it can be read, and whether all names are there."""
        found = doctor(f"{file_url}?names=A,B")
        assert found.names == ["configuration", "store", "fetch", "names"]
        assert set(found.states) == {"ok"}
        (tmp_path / "store.json").chmod(0o644)
        assert doctor(file_url).at("warning") == ["options"]
        missing = doctor(f"{file_url}?names=A,NOPE")
        assert missing.at("error") == ["names"]
        assert "NOPE" in missing["names"]["found"]
        gone = doctor(f"file://{tmp_path}/none.json")
        assert gone.at("error") == ["fetch"]

    def test_no_region(self, names, monkeypatch):
        """Without a region nothing can be asked, and every line says so."""
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        found = doctor("credstash://?names=A")
        assert found.at("error") == ["region"]
        assert found.at("skipped") == ["identity", "endpoint", "clock"]

    def test_no_profile(self, names):
        """A profile that does not exist is an error of region and credentials."""
        found = doctor("credstash://?profile_name=nobody")
        assert "credentials" in found.at("error")


class TestCredentials:
    def test_none(self, names, monkeypatch):
        """Without credentials the line says where they come from on AWS."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        found = doctor(names)
        assert found.at("error") == ["credentials"]
        assert found["credentials"]["found"] == "there are no AWS credentials"
        assert found.at("skipped") == ["identity", "endpoint", "clock"]

    def test_source_and_end(self, names, monkeypatch):
        """It says where they come from, and when they expire."""
        assert doctor(names)["credentials"]["found"] == "from the environment; they do not expire"
        end = datetime.now(timezone.utc) + timedelta(hours=3, seconds=30)
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", end.isoformat())
        assert "they expire in 180 min" in doctor(names)["credentials"]["found"]

    def test_expired(self, names, monkeypatch):
        """What has expired is an error before anything is sent."""
        end = datetime.now(timezone.utc) - timedelta(hours=1)
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", end.isoformat())
        found = doctor(names)
        assert found.at("error") == ["credentials"]
        assert "have expired" in found["credentials"]["found"]

    def test_source_fails(self, names, monkeypatch, tmp_path):
        """A program that should give them, and fails, is an error."""
        config = tmp_path / "config"
        config.write_text("[profile broken]\ncredential_process = false\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        found = doctor(f"{names}&profile_name=broken")
        assert found.at("error") == ["credentials"]
        assert "could not be fetched" in found["credentials"]["found"]

    def test_not_valid(self, names, aws):
        """Credentials that AWS does not know are an error of the first request, with the mend."""
        aws.faults.append(lambda *_: (400, "UnrecognizedClientException"))
        found = doctor(names)
        assert found.at("error") == ["table", "key"]
        assert "the credentials are not valid" in found["table"]["found"]

    @pytest.mark.parametrize(
        ("status", "body"),
        [("403 Forbidden", DENIED), ("404 Not Found", b"<html>"), ("503 Busy", b"")],
        ids=["denied", "something else", "fault"],
    )
    def test_sts_is_optional(self, names, aws, status, body):
        """Who may not ask STS, or does not reach it, is not ill."""
        with sts_says(aws, status, body):
            found = doctor(names)
        assert found.at("skipped") == ["identity"]
        assert found.code == 0

    def test_sts_does_not_know_us(self, names, aws):
        """Credentials that STS refuses as such are an error."""
        body = DENIED.replace(b"AccessDenied", b"InvalidClientTokenId")
        with sts_says(aws, "403 Forbidden", body):
            found = doctor(names)
        assert found.at("error") == ["identity"]


class TestReach:
    def test_nobody_listens(self, names):
        """An endpoint that refuses connections: a line for each service, and no more is tried."""
        found = doctor(f"{names}&endpoint_url={closed_port()}&timeout=5")
        assert found.at("error") == ["table", "key"]
        assert found["query"]["found"] == "not looked at: table failed"
        assert found["decrypt"]["found"] == "not looked at: query, key failed"
        assert len(found.rows) == len(CHECKS)

    def test_silence(self, names):
        """An endpoint that never answers takes one deadline a request that is tried."""
        # More than a busy machine needs for the clients, which have the same time.
        with SilentServer() as server:
            found = doctor(f"{names}&endpoint_url={server.endpoint}&timeout=4")
        assert found.at("error") == ["table", "key"]
        for row in (found["table"], found["key"]):
            assert "no answer within 4 s" in row["found"]
        assert "no answer within 4 s" in found["identity"]["found"]

    @pytest.mark.parametrize(
        ("seconds", "state"),
        [(0, "ok"), (30, "ok"), (-120, "warning"), (400, "error"), (-400, "error")],
    )
    def test_clock(self, names, clock, seconds, state):
        """A clock that is off is seen by the Date of AWS's replies."""
        clock(seconds)
        found = doctor(names)
        assert found["clock"]["state"] == state
        if state != "ok":
            assert ("behind" if seconds > 0 else "ahead of") in found["clock"]["found"]

    def test_clock_of_a_refusal(self, names, aws, clock):
        """The clock is read from refusals too: a wrong clock is why AWS refuses."""
        clock(3600)
        aws.faults.append(lambda *_: (400, "InvalidSignatureException"))
        with sts_says(aws, "403 Forbidden", DENIED):
            found = doctor(names)
        assert found.at("error") == ["table", "key", "clock"]


class TestTable:
    def test_missing(self, names):
        """A table that is not there: what creates it."""
        found = doctor(names.replace("credstash://", "credstash://nowhere"))
        assert found.at("error") == ["table"]
        assert "secrets setup" in found["table"]["mend"]

    def test_not_active(self, names, aws):
        """A table that is being made is not ready."""
        table = {
            "TableStatus": "CREATING",
            "KeySchema": [
                {"AttributeName": "name", "KeyType": "HASH"},
                {"AttributeName": "version", "KeyType": "RANGE"},
            ],
        }
        aws.faults.append(
            lambda operation, _: (200, {"Table": table}) if operation == "DescribeTable" else None
        )
        assert "is CREATING, not ACTIVE" in doctor(names)["table"]["found"]

    def test_of_something_else(self, names):
        """A table with another key is not a table of secrets."""
        boto3.client("dynamodb").create_table(
            TableName="other",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        found = doctor(names.replace("credstash://", "credstash://other"))
        assert "is not a table of credstash" in found["table"]["found"]

    @pytest.mark.parametrize(
        ("operation", "check", "permission"),
        [
            ("Query", "query", "dynamodb:Query"),
            ("Decrypt", "decrypt", "kms:Decrypt"),
        ],
    )
    def test_denied(self, names, aws, operation, check, permission):
        """A permission that the settings need, and lack, is named."""
        aws.faults.append(denied(operation))
        found = doctor(names)
        assert found.at("error") == [check]
        assert permission in found[check]["mend"]

    def test_denied_scan(self, url, names, aws):
        """Without NAMES, Scan is one of them."""
        aws.faults.append(denied("Scan"))
        assert doctor(url).at("error") == ["scan"]
        assert doctor(names).at("error") == []

    @pytest.mark.parametrize(
        ("operation", "check"), [("DescribeTable", "table"), ("DescribeKey", "key")]
    )
    def test_denied_and_not_needed(self, names, aws, operation, check):
        """A permission that no reader needs is not missed."""
        aws.faults.append(denied(operation))
        found = doctor(names)
        assert (found.at("skipped"), found.code) == ([check], 0)

    def test_names_missing(self, names):
        """Every name that is missing is listed, and how to write one."""
        found = doctor(f"{names},C,D")
        assert found.at("error") == ["names"]
        assert found["names"]["found"].endswith(": C, D")
        assert "`secrets put C`" in found["names"]["mend"]
        assert found["fetch"]["state"] == "skipped"

    def test_empty(self, url):
        """An empty table is no error while nothing is asked of it."""
        found = doctor(url)
        assert found["names"]["state"] == found["decrypt"]["state"] == "warning"

    def test_pending(self, names, secrets):
        """A rotation that is not over is pointed out, with its next step."""
        secrets("rotate", "B", "--stage", "--length", "40").ok()
        found = doctor(names)
        assert (found.at("warning"), found.code) == (["pending"], 0)
        assert found["pending"]["found"] == "a value is pending: B"
        assert "`secrets rotate B --promote`" in found["pending"]["mend"]

    def test_unpadded(self, names):
        """A version of an old writer that sorts wrong is pointed out."""
        client = boto3.client("dynamodb")
        (item,) = client.query(
            TableName="credential-store",
            KeyConditionExpression="#n = :n",
            ExpressionAttributeNames={"#n": "name"},
            ExpressionAttributeValues={":n": {"S": "A"}},
        )["Items"]
        client.put_item(TableName="credential-store", Item={**item, "version": {"S": "7"}})
        found = doctor(names)
        assert found.at("warning") == ["versions"]
        assert "A version 7" in found["versions"]["found"]

    def test_deleted_meanwhile(self, names, aws):
        """A name that somebody deletes between two checks is an error of this one, in words."""
        # Only this check asks for the newest version alone.
        aws.faults.append(lambda _, body: (200, {"Items": []}) if body.get("Limit") == 1 else None)
        found = doctor(names)
        assert "decrypt" in found.at("error")
        assert "was deleted from CredStash table" in found["decrypt"]["found"]

    def test_damaged_record(self, names):
        """One record opens and another does not: the fetch is the error."""
        client = boto3.client("dynamodb")
        client.update_item(
            TableName="credential-store",
            Key={"name": {"S": "B"}, "version": {"S": f"{1:019}"}},
            UpdateExpression="SET #h = :h",
            ExpressionAttributeNames={"#h": "hmac"},
            ExpressionAttributeValues={":h": {"B": b"0" * 64}},
        )
        found = doctor(names)
        assert found.at("error") == ["fetch"]
        assert "B version" in found["fetch"]["found"]


class TestKey:
    @pytest.fixture
    def key(self, names):
        return boto3.client("kms").describe_key(KeyId="alias/credstash")["KeyMetadata"]["KeyId"]

    def test_disabled(self, names, key):
        """A disabled key: what enables it."""
        boto3.client("kms").disable_key(KeyId=key)
        found = doctor(names)
        assert found.at("error") == ["key"]
        assert "enable-key" in found["key"]["mend"]

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("KeyState", "PendingImport"),
            ("KeyState", "Unavailable"),
            ("KeyState", "SomethingNew"),
            ("KeyUsage", "SIGN_VERIFY"),
            ("KeySpec", "RSA_2048"),
        ],
    )
    def test_useless(self, names, key, aws, member, value):
        """A key that makes no data keys, in whatever way."""
        known = boto3.client("kms").describe_key(KeyId=key)["KeyMetadata"]
        answer = {"KeyMetadata": {**known, "CreationDate": 0, member: value}}
        aws.faults.append(lambda sent, _: (200, answer) if sent == "DescribeKey" else None)
        found = doctor(names)
        assert found.at("error") == ["key"]
        assert value in found["key"]["found"]

    def test_pending_deletion(self, names, key):
        """A key that waits for its deletion: what cancels it."""
        boto3.client("kms").schedule_key_deletion(KeyId=key)
        found = doctor(names)
        assert found.at("error") == ["key"]
        assert "cancel-key-deletion" in found["key"]["mend"]

    def test_missing(self, names):
        """An alias that names nothing hinders writers only."""
        found = doctor(f"{names}&key_id=alias/none")
        assert (found.at("warning"), found.code) == (["key"], 0)

    def test_context(self, names):
        """An encryption context that opens nothing is an error, with its keys."""
        found = doctor(f"{names}&context.env=live")
        assert found.at("error") == ["context"]
        assert found["decrypt"]["found"] == "kms:Decrypt is allowed"
        assert "env" in found["context"]["mend"]

    def test_former_context(self, names):
        """A record that only the former context opens waits for `reencrypt`."""
        with read_config(names).make_store() as store:
            assert store.get("A").value
        former = "former_context="
        found = doctor(f"{names}&context.env=live&{former}")
        assert found.at("warning") == ["context"]
        assert "`secrets reencrypt`" in found["context"]["mend"]


class TestSecretsManager:
    DOCUMENT = f"secretsmanager:///notes?region_name={REGION}"
    NAMES = f"secretsmanager://?prefix=notes/&region_name={REGION}"

    @pytest.fixture(params=[DOCUMENT, NAMES], ids=["document", "names"])
    def stored(self, request, aws):
        with read_config(request.param).make_store() as store:
            store.setup()
            store.put_many({"A": f"{MARK}-a", "B": f"{MARK}-b"})
        return request.param

    def test_all_is_well(self, stored):
        """A document and secrets of their own, with NAMES and without."""
        for url in (stored, f"{stored}&names=A,B"):
            found = doctor(url)
            assert set(found.states) == {"ok"}
            assert found["fetch"]["found"] == "the settings can read 2 secrets"

    def test_missing_names(self, stored, aws):
        """NAMES that are not there; no other name is asked for."""
        asked = []
        aws.faults.append(lambda _, body: asked.extend(body.get("SecretIdList", ())))
        assert doctor(f"{stored}&names=A,C").at("error") == ["names"]
        assert doctor(f"{stored}&names=C,D").at("error") == ["names"]
        assert {*asked} <= {"notes/A", "notes/C", "notes/D"}

    def test_pending(self, stored, secrets):
        """A pending value, with no permission but the settings'."""
        secrets("rotate", "B", "--stage", "--length", "40", url=stored).ok()
        found = doctor(f"{stored}&names=A,B")
        assert found.at("warning") == ["pending"]
        assert found["pending"]["found"] == "a value is pending: B"

    def test_denied(self, stored, aws):
        """Without the permission to read, that is what is said; to describe is not needed."""
        aws.faults.append(denied("DescribeSecret"))
        assert doctor(f"{stored}&names=A,B").code == 0
        aws.faults.append(denied("GetSecretValue", "BatchGetSecretValue"))
        found = doctor(f"{stored}&names=A,B")
        assert found.at("error") == ["get"]
        assert "allow secretsmanager:GetSecretValue" in found["get"]["mend"]

    @pytest.mark.parametrize(
        ("operation", "check"), [("ListSecrets", "list"), ("BatchGetSecretValue", "batch")]
    )
    def test_denied_by_name(self, aws, operation, check):
        """Of secrets by name, each permission has its line; what is not needed is not tried."""
        url = self.NAMES
        with read_config(url).make_store() as store:
            store.put_many({"A": f"{MARK}-a", "B": f"{MARK}-b"})
        aws.faults.append(denied(operation))
        found = doctor(url)
        assert found.at("error") == [check]
        assert f"allow secretsmanager:{operation}" in found[check]["mend"]
        assert ("list" in doctor(f"{url}&names=A").names) is False

    def test_denied_secret_in_a_batch(self, aws):
        """A secret of several that may not be read: its name, and the permission for it."""
        with read_config(self.NAMES).make_store() as store:
            store.put_many({"A": f"{MARK}-a", "B": f"{MARK}-b"})
        failure = {"SecretId": "notes/B", "ErrorCode": "AccessDeniedException", "Message": "why"}
        values = [{"Name": "notes/A", "ARN": "x", "SecretString": "a", "VersionId": "v"}]
        reply = {
            "SecretValues": [{**values[0], "VersionStages": ["AWSCURRENT"]}],
            "Errors": [failure],
        }

        def says(operation, body):
            several = operation == "BatchGetSecretValue" and len(body["SecretIdList"]) > 1
            return (200, reply) if several else None

        aws.faults.append(says)
        found = doctor(f"{self.NAMES}&names=A,B")
        assert found.at("error") == ["fetch"]
        assert "GetSecretValue of B was refused" in found["fetch"]["found"]
        assert found["fetch"]["found"].endswith(": why")
        assert "allow secretsmanager:GetSecretValue" in found["fetch"]["mend"]

    def test_key(self, stored, aws):
        """A KMS key of one's own: its state, by DescribeKey, where that is allowed."""
        client = boto3.client("kms")
        key = client.create_key()["KeyMetadata"]["KeyId"]
        url = f"{stored}&key_id={key}"
        assert doctor(url)["key"]["found"] == f"the KMS key {key} is Enabled"
        assert "key" not in doctor(stored).names
        client.disable_key(KeyId=key)
        found = doctor(url)
        assert found.at("error") == ["key"]
        assert "enable-key" in found["key"]["mend"]
        aws.faults.append(denied("DescribeKey"))
        assert doctor(url).at("skipped") == ["key"]

    def test_empty(self, aws):
        """A prefix that nothing is under is pointed out."""
        found = doctor(self.NAMES)
        assert found.at("error") == []
        assert found.at("warning") == ["get", "names"]

    def test_no_document(self, aws):
        """A document that is not there, that has no value, or that was deleted."""
        assert "`secrets setup` creates it" in doctor(self.DOCUMENT)["secret"]["mend"]
        client = boto3.client("secretsmanager")
        client.create_secret(Name="notes")
        assert "has no value yet" in doctor(self.DOCUMENT)["secret"]["found"]
        client.put_secret_value(SecretId="notes", SecretString="{}")
        assert doctor(self.DOCUMENT).at("error") == []
        client.delete_secret(SecretId="notes")
        assert "`secrets setup` restores it" in doctor(self.DOCUMENT)["secret"]["mend"]


@pytest.mark.parametrize(
    ("region", "dual"),
    [
        *((region, False) for region in ("us-east-1", "eusc-de-east-1", "us-isof-east-1")),
        *((region, True) for region in ("us-east-1", "cn-north-1")),
    ],
)
def test_every_partition_of_aws_is_aws(region, dual, monkeypatch):
    """Without a variable or an option, requests go to AWS itself."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", str(dual).lower())
    store = read_config(f"credstash://t?region_name={region}").make_store()
    client = boto3.client("dynamodb", region_name=region)
    assert override_of(store, Service(client, "DynamoDB")) == ""
    elsewhere = boto3.client("dynamodb", region_name=region, endpoint_url="http://db.example")
    assert override_of(store, Service(elsewhere, "DynamoDB")) == "the AWS configuration file"


class TestLastKnownGood:
    """Whether there is a copy for when the store is out."""

    @pytest.fixture
    def kept(self, names, tmp_path):
        """Makes the URL of a configuration with a copy."""
        query = "last_known_good.key_id=alias/credstash&last_known_good.max_age=3600"
        return f"{names}&{query}&last_known_good.path={tmp_path}/copy"

    def test_there_is_one(self, kept):
        """Its age is shown; without one, when it comes."""
        assert doctor(kept)["last known good"]["state"] == "warning"
        assert "there is none" in doctor(kept)["last known good"]["found"]
        assert load(kept)["A"]
        row = doctor(kept)["last known good"]
        assert (row["state"], row["found"][:17]) == ("ok", "there is a copy o")

    def test_a_path_that_cannot_be(self, names):
        """As `load()` would say."""
        url = f"{names}&last_known_good.path=/proc/copy&last_known_good.max_age=3600"
        row = doctor(url)["last known good"]
        assert row["state"] == "error"
        assert "which is not in memory" in row["found"]
