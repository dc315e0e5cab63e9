"""The site does not start without its secrets, and one line of its log says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from deployment import REFUSAL_SECONDS, TABLE_URL, Deployment, Ended

# What is wrong, and what the line has to say about it.
CASES = {
    "wrong-url": "$KMS_SECRETS_URL is not the URL of a store",
    "missing-table": "there is no CredStash table no-such-table in ap-northeast-2",
    "missing-secret": "CredStash table half-empty in ap-northeast-2 lacks "
    "DATABASE_URL, EMAIL_HOST_PASSWORD, site",
    "nobody-listens": "got no answer from",
    "unknown-host": "got no answer from",
}
ALLOW_QUERY_ONLY = """
import boto3, json
iam = boto3.client("iam", region_name="ap-northeast-2")
iam.create_user(UserName="may-query")
policy = {"Version": "2012-10-17",
          "Statement": [{"Effect": "Allow", "Action": ["dynamodb:Query"], "Resource": "*"}]}
iam.put_user_policy(UserName="may-query", PolicyName="query", PolicyDocument=json.dumps(policy))
print(json.dumps(iam.create_access_key(UserName="may-query")["AccessKey"], default=str))
"""
ENFORCE = """
import os, sys, urllib.request
url = os.environ["AWS_ENDPOINT_URL"] + "/moto-api/reset-auth"
urllib.request.urlopen(urllib.request.Request(
    url, data=sys.argv[1].encode(), headers={"Content-Type": "text/plain"}), timeout=10)
"""


@pytest.fixture(scope="module")
def refusals(deployment: Deployment) -> Iterator[dict[str, Any]]:
    """All starts at once: most of them only wait."""
    half_empty = {"KMS_SECRETS_URL": TABLE_URL.format(table="half-empty")}
    deployment.manage("secrets", "setup", environment=half_empty)
    deployment.manage("secrets", "put", "SECRET_KEY", "-", text="k" * 50, environment=half_empty)
    environments = {
        "wrong-url": {"KMS_SECRETS_URL": "credstahs://credential-store"},
        "missing-table": {"KMS_SECRETS_URL": TABLE_URL.format(table="no-such-table")},
        "missing-secret": half_empty,
        "nobody-listens": {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        "unknown-host": {"AWS_ENDPOINT_URL": "http://aws.invalid:5000"},
    }
    with deployment.beside(environments) as started:
        yield started


def assert_refused(ended: Ended, line: str, *, start: float = 0.0) -> None:
    """One line, a failure, and soon: `start` is what a start without any waiting took (seconds)."""
    assert len(ended.log.splitlines()) == 1, ended.log
    assert ended.log.startswith("not started: ")
    assert line in ended.log
    assert "hint: " in ended.log
    assert ended.status not in (0, None)
    assert ended.seconds - start < REFUSAL_SECONDS
    print(f"it ended after {ended.seconds:.1f} s")


@pytest.mark.parametrize("case", CASES)
def test_one_line_says_why(refusals: dict[str, Any], case: str) -> None:
    """Whatever is wrong with the store: one line, a failure, within 15 seconds."""
    assert_refused(refusals[case].ended(), CASES[case])


def test_a_dead_host(deployment: Deployment) -> None:
    """A host that takes the connection and never answers is given up in time."""
    # What a start takes on a slow machine is not part of the waiting: one waits for nothing.
    both = {"hasty": {"KMS_SECRETS_URL": "credstahs://credential-store"}, "patient": {}}
    with deployment.frozen_aws(), deployment.beside(both) as started:
        start = started["hasty"].ended().seconds
        ended = started["patient"].ended()
    assert_refused(ended, "no answer", start=start)
    assert ended.seconds - start > 4, "it did not wait for an answer"


def test_a_role_that_may_not_decrypt(deployment: Deployment) -> None:
    """A role that may read the table but not use its key is told which action it lacks."""
    key = json.loads(deployment.run("python", "-c", ALLOW_QUERY_ONLY))
    role = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    deployment.run("python", "-c", ENFORCE, "0")
    try:
        with deployment.beside({"denied-role": role}) as started:
            ended = started["denied-role"].ended()
    finally:
        deployment.run("python", "-c", ENFORCE, "inf")
    assert_refused(ended, "KMS denies the use of its key")
    assert "SECRET_KEY" in ended.log
    assert "kms:Decrypt" in ended.log
    assert key["SecretAccessKey"] not in ended.log


def test_other_credentials(deployment: Deployment) -> None:
    """Credentials that nobody has are told apart from a role that may not."""
    deployment.run("python", "-c", ENFORCE, "0")
    try:
        with deployment.beside({"stranger": {"AWS_ACCESS_KEY_ID": "AKIANOBODY"}}) as started:
            ended = started["stranger"].ended()
    finally:
        deployment.run("python", "-c", ENFORCE, "inf")
    assert_refused(ended, "the credentials are not valid")
