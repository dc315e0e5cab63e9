"""When boto3 is needed: whenever its configuration, or where it looks for it, is not all served."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import botocore
import pytest

from django_kms_secrets import SecretsError, transport
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.transport import BOTO3, LIGHT, reason

URL = "http://127.0.0.1:4566"
#: Variables that are served as boto3 serves them…
SERVED = {
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
}
#: … and those that have no say in reads, with credentials that are served: of the instance
#: metadata service, STS, S3, logins, the user agent, CRT, proxies, and of switches that are on.
WITHOUT_A_SAY = {
    "AWS_CSM_CLIENT_ID",
    "AWS_CSM_HOST",
    "AWS_CSM_PORT",
    "AWS_DISABLE_REQUEST_COMPRESSION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_EC2_METADATA_V1_DISABLED",
    "AWS_EXECUTION_ENV",
    "AWS_IMDS_USE_IPV6",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LOGIN_CACHE_DIRECTORY",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
    "AWS_METADATA_SERVICE_TIMEOUT",
    "AWS_REGION",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
    "AWS_ROLE_SESSION_NAME",
    "AWS_S3_DISABLE_EXPRESS_SESSION_AUTH",
    "AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS",
    "AWS_S3_USE_ARN_REGION",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
    "AWS_SDK_UA_APP_ID",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "BOTOCORE_TCP_KEEPALIVE",
    "BOTO_DISABLE_CRT",
    "BOTO_EXPERIMENTAL__ADD_PROXY_HOST_HEADER",
    "BOTO_EXPERIMENTAL__NO_EMPTY_CONTINUE",
}


def why(**options):
    known = {"profile_name": None, "endpoint_url": None, **options}
    return reason({"dynamodb": None, "kms": None}, **known)


@pytest.fixture(autouse=True)
def keys(set_environment):
    set_environment(
        AWS_ACCESS_KEY_ID="A",
        AWS_SECRET_ACCESS_KEY="B",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ENDPOINT_URL=URL,
    )


def test_keys_a_region_and_an_endpoint_in_the_environment_need_no_boto3():
    assert why() == LIGHT


@pytest.mark.parametrize("name", sorted(WITHOUT_A_SAY))
def test_a_variable_without_a_say_changes_nothing(name, set_environment):
    set_environment(**{name: "true"})
    assert why() == LIGHT


@pytest.mark.parametrize("value", ["true", ""])
@pytest.mark.parametrize(
    "name",
    [
        *transport._OF_BOTO3,
        "AWS_BEARER_TOKEN_KMS",
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
    ],
)
def test_a_variable_that_only_boto3_knows_needs_it(name, value, set_environment):
    """An empty one too: what it means then is boto3's business."""
    set_environment(**{name: value})
    assert why() == f"{name} is set"


def test_every_variable_that_botocore_reads_is_in_one_of_the_lists():
    """A new botocore may read new ones: then they are to be sorted in."""
    read = {
        node.value
        for path in Path(botocore.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"(AWS|BOTO|BOTOCORE|REQUESTS)_[A-Z0-9_]*[A-Z0-9]", node.value)
    }
    assert {"AWS_PROFILE", "REQUESTS_CA_BUNDLE", "BOTO_CONFIG"} <= read
    assert read - SERVED - WITHOUT_A_SAY - set(transport._OF_BOTO3) == set()


@pytest.mark.parametrize("path", [".aws/config", ".aws/credentials", ".aws/models", ".boto"])
def test_a_configuration_file_needs_boto3(path, home):
    file = home / path
    file.parent.mkdir(exist_ok=True)
    file.touch()
    assert why() == f"~/{path} exists"


@pytest.mark.parametrize("variable", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
def test_a_configuration_file_elsewhere_needs_boto3(variable, tmp_path, set_environment):
    file = tmp_path / "elsewhere"
    set_environment(**{variable: str(file)})
    assert why() == LIGHT, "boto3 passes over a file that is not there"
    file.touch()
    assert why() == f"{file} exists"


@pytest.mark.parametrize("variable", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
def test_a_configuration_file_may_be_named_by_another_variable(
    variable, tmp_path, set_environment, monkeypatch
):
    """botocore expands it, as of a file of variables that no shell has read."""
    (tmp_path / "elsewhere").touch()
    monkeypatch.setenv("ELSEWHERE", str(tmp_path))
    set_environment(**{variable: "$ELSEWHERE/elsewhere"})
    assert why() == "$ELSEWHERE/elsewhere exists"


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_where_the_system_has_proxies_and_certificates_of_its_own_boto3_knows(
    platform, monkeypatch
):
    monkeypatch.setattr("sys.platform", platform)
    assert "the system's own" in why()


def test_the_options_may_ask_for_boto3():
    assert why(profile_name="work") == 'OPTIONS["profile_name"] is set'
    assert why(transport=BOTO3) == 'OPTIONS["transport"] is "boto3"'


def test_half_of_the_credentials_are_an_error_of_boto3s(set_environment):
    set_environment(AWS_SECRET_ACCESS_KEY=None)
    assert why() == "AWS_SECRET_ACCESS_KEY is missing"


@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
def test_keys_that_fit_into_no_header_are_left_to_boto3(name, set_environment):
    set_environment(**{name: "planted\n"})
    assert why() == f"{name} does not fit into a header"


def test_credentials_from_elsewhere_need_boto3(set_environment):
    """The metadata service of an instance, most of all."""
    set_environment(AWS_ACCESS_KEY_ID="")
    assert why() == "the credentials are neither in the environment nor a container's"


def test_no_region_is_an_error_of_boto3s(set_environment):
    set_environment(AWS_DEFAULT_REGION=None, AWS_REGION="us-east-1")
    assert why() == "no region is set"


# The stores


@pytest.mark.parametrize(
    "make",
    [CredStashStore, lambda **options: SecretsManagerStore(secret_id="doc", **options)],
    ids=["credstash", "secretsmanager"],
)
def test_a_store_is_light_only_when_it_is_opened_to_read(make):
    def kind(opening, **options):
        store = make(**options)
        with opening(store):
            return next(type(service).__name__ for service in store._services)

    assert kind(lambda store: store) == "Service"
    assert kind(lambda store: store.reading()) == "LightService"
    assert kind(lambda store: store.reading(), transport="boto3") == "Service"


@pytest.mark.parametrize("value", ["light", "", None])
def test_another_transport_is_an_error_that_lists_the_known_ones(value):
    with pytest.raises(SecretsError) as caught:
        CredStashStore(transport=value)
    assert caught.value.message == f"transport {value!r} is neither auto nor boto3"
    assert caught.value.hint == "leave it out for auto"


def test_a_store_that_was_opened_to_read_sends_nothing_else():
    with SecretsManagerStore(prefix="").reading() as store, pytest.raises(SecretsError) as caught:
        store.put("A", "planted")
    assert caught.value.message == (
        "DescribeSecret of Secrets Manager was not sent: the store was opened to read values"
    )
    assert caught.value.hint == "use `with store:`"
