"""no_aws: what would reach AWS is an error that names it; what stands in for AWS is asked."""

from __future__ import annotations

import unittest

import pytest
from moto import mock_aws

from django_kms_secrets import StoreUnavailable, load
from django_kms_secrets import aws as aws_module
from django_kms_secrets.config import read_config
from django_kms_secrets.testing import WouldReachAWS, allow_aws, no_aws
from tests.wall import OutsideTheWall

URL = "credstash://some-table?region_name=eu-west-1"


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    """A key pair, so that only the guard, and the wall behind it, keep a request here."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMADEUP")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")


@pytest.mark.parametrize("transport", ["auto", "boto3"])
@pytest.mark.parametrize(
    "url, operation, host",
    [
        (URL, "Scan of some-table", "dynamodb.eu-west-1.amazonaws.com"),
        (
            "secretsmanager://some/name?region_name=eu-west-1",
            "GetSecretValue of some/name",
            "secretsmanager.eu-west-1.amazonaws.com",
        ),
        (f"{URL}&endpoint_url=https://gate.example.org:8443", "Scan", "gate.example.org"),
        (f"{URL}&endpoint_url=http://10.1.2.3:8000", "Scan", "10.1.2.3"),
    ],
)
def test_a_read_is_refused(transport, url, operation, host, monkeypatch):
    """Over either transport, and nothing is sent; the error says what, of which store, where."""
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/test_it.py::test_it (call)")
    with no_aws(), pytest.raises(WouldReachAWS) as caught:
        load(f"{url}&transport={transport}").get("KEY")
    first, hint = str(caught.value).splitlines()
    assert first.startswith(f"tests/test_it.py::test_it would reach AWS: {operation}")
    assert host in first
    assert "kms_secrets_allow_aws" in hint


def test_a_write_is_refused(monkeypatch):
    """As reads are; without pytest the error names no test."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    with (
        no_aws(),
        read_config(URL).make_store() as store,
        pytest.raises(WouldReachAWS, match="this would reach AWS: Query of some-table"),
    ):
        store.put("KEY", "hunter2")


def test_no_except_exception_hides_it():
    """Neither a read that goes on with old values whatever happens, nor a view's handler."""
    assert not issubclass(WouldReachAWS, Exception)


def test_an_endpoint_on_this_machine_is_asked(aws):
    """By OPTIONS or by the variables of AWS, over both transports."""
    here = f"{URL}&endpoint_url={aws.endpoint}".replace("127.0.0.1", "localhost")
    with no_aws():
        with read_config(here).make_store() as store:
            store.setup_key()
            store.setup()
            store.put("KEY", "hunter2")
        for url in (URL, here, f"{here}&transport=boto3"):
            assert load(url)["KEY"] == "hunter2"


@pytest.mark.parametrize(
    "host, error, timeout",
    [("moto", OutsideTheWall, 60), ("a.localhost", StoreUnavailable, 0.2)],
)
def test_other_names_of_this_machine_are_not_aws(host, error, timeout):
    """A name without a dot is one of a compose file. Both are looked up, and lead nowhere here.

    How long that takes hangs on the machine's resolver; at the wall it is over at once.
    """
    secrets = load(f"{URL}&endpoint_url=http://{host}:9&timeout={timeout}")
    with no_aws(), pytest.raises(error):
        secrets.get("KEY")


def test_motos_mock_is_asked():
    """`mock_aws` answers boto3 in this process, so that settings are read over it."""
    with no_aws(), mock_aws():
        with read_config(URL).make_store() as store:
            store.setup_key()
            store.setup()
            store.put("KEY", "hunter2")
        assert load(URL)["KEY"] == "hunter2"
    with no_aws(), pytest.raises(WouldReachAWS):
        load(URL).get("KEY")


def test_it_may_be_allowed_within(monkeypatch):
    """`allow_aws` opens it to the end of its block; the request meets the next wall."""
    secrets = load(URL)
    with no_aws():
        with allow_aws(), pytest.raises(OutsideTheWall):
            secrets.get("KEY")
        with pytest.raises(WouldReachAWS):
            secrets.get("KEY")
    with pytest.raises(OutsideTheWall):
        secrets.get("KEY")


def test_they_may_end_in_another_order():
    """As coroutines do that wait for each other; then nothing is refused any more."""
    first, second = no_aws(), no_aws()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with pytest.raises(WouldReachAWS):
        load(URL).get("KEY")
    second.__exit__(None, None, None)
    assert aws_module.guard is None


def test_it_decorates_test_cases():
    """A test of the case that would reach AWS is one that fails, by its own name."""

    @no_aws()
    class Case(unittest.TestCase):
        def test_it(self):
            load(URL).get("KEY")

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    [(test, text)] = result.errors
    assert test.id().endswith("Case.test_it")
    assert "would reach AWS: Scan of some-table" in text
    assert aws_module.guard is None
