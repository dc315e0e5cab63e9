"""Where the services are: what botocore's own rules say, and nothing they do not say."""

from __future__ import annotations

import os
import ssl

import boto3
import botocore.session
import pytest
from botocore.endpoint_provider import EndpointProvider

from django_kms_secrets.transport.endpoints import endpoint_of, region_of, tls, why_not

SERVICES = ("dynamodb", "kms", "secretsmanager")
OTHER = "http://127.0.0.1:4566"
#: Names that look like regions, or are some in a way of their own.
STRANGE = ["local", "aws-global", "fips-us-east-1", "us-east-1-fips", "xx-north-1", "us-east-1\n"]


@pytest.fixture(scope="module")
def regions():
    session = botocore.session.Session()
    return {
        region
        for partition in session.get_available_partitions()
        for service in SERVICES
        for region in session.get_available_regions(service, partition, allow_non_regional=True)
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_standard_endpoint_is_the_one_of_botocores_rules(service, regions):
    loader = botocore.session.Session().get_component("data_loader")
    rules = EndpointProvider(
        loader.load_service_model(service, "endpoint-rule-set-1"),
        loader.load_data("partitions"),
    )
    served = set()
    for region in sorted(regions):
        ours = endpoint_of(service, region, None, {})
        if ours:
            theirs = rules.resolve_endpoint(Region=region, UseFIPS=False, UseDualStack=False)
            assert ours == theirs.url
            served.add(region)
    left = {region for region in regions - served if "iso" not in region and "eusc" not in region}
    assert {"us-east-1", "ap-northeast-2", "cn-north-1", "us-gov-west-1"} <= served
    assert all("fips" in region.lower() or region in STRANGE for region in left), left


@pytest.mark.parametrize("region", STRANGE)
def test_what_is_no_region_of_the_usual_partitions_is_left_to_boto3(region):
    assert endpoint_of("kms", region, None, {}) == ""
    assert endpoint_of("kms", region, OTHER, {}) == ""


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
        {"AWS_ENDPOINT_URL": ""},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:1/"},
        {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
            "AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:2",
            "AWS_ENDPOINT_URL_KMS": "https://kms.example.com",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": "",
        },
        {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-3"},
        {"AWS_DEFAULT_REGION": "cn-north-1"},
    ],
)
@pytest.mark.parametrize(
    ("endpoint_url", "named"), [(None, None), (None, "eu-central-1"), (OTHER, "eu-central-1")]
)
def test_region_and_endpoint_are_those_of_a_boto3_client(
    service, variables, endpoint_url, named, monkeypatch
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    region = region_of(named, os.environ)
    if not region:
        assert why_not({service: named}, endpoint_url, os.environ) == "no region is set"
        return
    client = boto3.session.Session().client(
        service,
        region_name=named,
        endpoint_url=endpoint_url,
        aws_access_key_id="A",
        aws_secret_access_key="B",
    )
    ours = endpoint_of(service, region, endpoint_url, os.environ)
    assert (ours, region) == (client.meta.endpoint_url, client.meta.region_name)
    client.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1]:8000",
        "http://localhost/path",
        "http://localhost?query",
        "http://user:pass@localhost",
        "http://local_host",
        "localhost:8000",
        "ftp://localhost",
        "http://-x",
        "http://localhost\n",
        "http://localhost:port",
        " http://localhost",
        "http://localhost:0",
        "http://localhost:99999",
        "http://localhost:80",
        "https://localhost:443",
    ],
)
def test_an_endpoint_that_is_no_plain_url_is_left_to_boto3(url):
    assert endpoint_of("kms", "us-east-1", url, {}) == ""
    assert why_not({"kms": "us-east-1"}, url, {}) == (
        "the endpoint of kms in us-east-1 is not a usual one"
    )


# Certificates


def test_a_hashed_directory_is_taken_and_no_file_is_parsed(certificates):
    context = tls({"SSL_CERT_DIR": str(certificates.directory)})
    assert context.cert_store_stats()["x509"] == 0, "they are looked up when one is needed"
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_file_that_is_asked_for_is_trusted_too(certificates):
    context = tls(
        {
            "SSL_CERT_DIR": str(certificates.directory),
            "SSL_CERT_FILE": str(certificates.authority),
        }
    )
    assert context.cert_store_stats()["x509"] == 1


def test_without_certificates_of_the_system_boto3_has_its_own(tmp_path, certificates):
    nothing = {"SSL_CERT_DIR": str(tmp_path), "SSL_CERT_FILE": str(tmp_path / "none")}
    reason = why_not({"kms": "us-east-1"}, None, nothing)
    assert reason == "the system has no CA certificates"
    assert why_not({"kms": "us-east-1"}, OTHER, nothing) == ""
    there = {**nothing, "SSL_CERT_FILE": str(certificates.authority)}
    assert why_not({"kms": "us-east-1"}, None, there) == ""
