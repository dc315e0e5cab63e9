"""Signature Version 4: AWS's own examples, and botocore's signer."""

from __future__ import annotations

import pytest
from botocore.auth import SIGNED_HEADERS_BLACKLIST, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from django_kms_secrets.transport.credentials import Credentials
from django_kms_secrets.transport.sigv4 import authorization
from django_kms_secrets.types import SecretStr

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPf"
    "IeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7W"
    "Z0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8F"
    "DrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
FORM = {
    "Content-Length": "13",
    "x-amz-content-sha256": "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
}

# The POST requests on / of AWS's Signature Version 4 test suite, as aws-c-auth has it:
# https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4
# Name -> headers beside Host and X-Amz-Date, body, what is signed of them, signature.
EXAMPLES = {
    "post-vanilla": (
        {},
        b"",
        "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-header-value-case": (
        {"My-Header1": "VALUE1"},
        b"",
        "host;my-header1;x-amz-date",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-sts-header-before": (
        {"X-Amz-Security-Token": TOKEN},
        b"",
        "host;x-amz-date;x-amz-security-token",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ),
    "post-x-www-form-urlencoded": (
        {"Content-Type": "application/x-www-form-urlencoded", **FORM},
        b"Param1=value1",
        "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    ),
    "post-x-www-form-urlencoded-parameters": (
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", **FORM},
        b"Param1=value1",
        "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
        "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_aws_are_signed_as_aws_says(name):
    headers, body, signed, signature = EXAMPLES[name]
    found = authorization(
        "POST",
        {"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z", **headers},
        body,
        credentials=Credentials("AKIDEXAMPLE", SecretStr(SECRET_KEY), SecretStr()),
        region="us-east-1",
        service="service",
    )
    assert found == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={signed}, Signature={signature}"
    )


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
# Not those that botocore leaves out: "te" is one, and short enough to come by chance.
names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: (
        name.lower() not in {"host", "authorization", "date", *SIGNED_HEADERS_BLACKLIST}
        and not name.lower().startswith(("x-amz", "connection"))
    )
)


@given(
    body=st.binary(max_size=200),
    headers=st.dictionaries(names, values, max_size=4).filter(
        lambda found: len({name.lower() for name in found}) == len(found)
    ),
    keys=st.tuples(printable, printable, st.one_of(st.just(""), printable)),
    region=st.sampled_from(["us-east-1", "cn-north-1", "ap-northeast-2"]),
    service=st.sampled_from(["dynamodb", "kms", "secretsmanager"]),
)
def test_any_request_is_signed_as_botocore_signs_it(body, headers, keys, region, service):
    access_key, secret_key, token = keys
    theirs = AWSRequest("POST", f"https://{service}.{region}.amazonaws.com/", headers, body)
    SigV4Auth(BotoCredentials(access_key, secret_key, token or None), service, region).add_auth(
        theirs
    )
    ours = {
        "Host": f"{service}.{region}.amazonaws.com",
        "X-Amz-Date": theirs.headers["X-Amz-Date"],
        **headers,
    }
    if token:
        ours["X-Amz-Security-Token"] = token
    assert theirs.headers["Authorization"] == authorization(
        "POST",
        ours,
        body,
        credentials=Credentials(access_key, SecretStr(secret_key), SecretStr(token)),
        region=region,
        service=service,
    )


def test_credentials_and_what_is_made_of_them_are_masked():
    credentials = Credentials("AKIDEXAMPLE", SecretStr("planted"), SecretStr("planted"))
    assert "planted" not in repr([credentials, credentials._asdict()])
