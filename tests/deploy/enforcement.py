"""IAM as moto enforces it.

It looks at actions only: a statement about KMS or DynamoDB whose resource is an ARN never allows
anything. So policies are widened to every resource here; `test_stack.py` proves their ARNs.
And it denies in XML, to whom AWS answers in JSON; that is put right on the way.
"""

from __future__ import annotations

import json
import re
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..server.embedded import EmbeddedAWS

#: moto's switch is a number of requests that go unchecked first.
_ON, _OFF = b"0", b"inf"


@contextmanager
def enforced(aws: EmbeddedAWS) -> Iterator[None]:
    """Check the permissions of every request inside the block."""
    moto = aws._moto
    aws._moto = _DeniesInJSON(moto)
    _switch(aws, _ON)
    try:
        yield
    finally:
        _switch(aws, _OFF)
        aws._moto = moto


class _DeniesInJSON:
    """moto, but a denial comes in the protocol of the request: AccessDeniedException, as JSON."""

    def __init__(self, moto: Callable[..., Iterable[bytes]]) -> None:
        self._moto = moto

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        started: list[Any] = []
        body = b"".join(self._moto(environ, lambda *args: started.extend(args)))
        status, headers, *_ = started
        denied = re.search(rb"<Code>AccessDenied</Code>\s*<Message>(.*?)</Message>", body, re.S)
        if denied and "HTTP_X_AMZ_TARGET" in environ:
            reply = {"__type": "AccessDeniedException", "message": denied[1].decode()}
            status, body = "400 Bad Request", json.dumps(reply).encode()
            headers = [
                ("Content-Type", "application/x-amz-json-1.1"),
                ("Content-Length", str(len(body))),
            ]
        start_response(status, headers)
        return [body]


def _switch(aws: EmbeddedAWS, unchecked: bytes) -> None:
    request = urllib.request.Request(
        f"{aws.endpoint}/moto-api/reset-auth",
        data=unchecked,
        headers={"Content-Type": "text/plain"},
    )
    urllib.request.urlopen(request).close()


def widened(document: dict[str, Any]) -> str:
    """The same actions on every resource."""
    statements = [{**statement, "Resource": "*"} for statement in document["Statement"]]
    return json.dumps({**document, "Statement": statements})


def task_credentials() -> dict[str, str]:
    """Take the site's role; gives the variables that a process of it has."""
    iam = boto3.client("iam")
    named = {"RoleName": "crud-task", "PolicyName": "SecretReader"}
    document = iam.get_role_policy(**named)["PolicyDocument"]
    iam.put_role_policy(**named, PolicyDocument=widened(document))
    role = iam.get_role(RoleName="crud-task")["Role"]["Arn"]
    session = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="task")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }


def member_credentials(group: str) -> dict[str, str]:
    """Make a user of a group; gives the variables that a process of theirs has."""
    iam = boto3.client("iam")
    for policy in iam.list_group_policies(GroupName=group)["PolicyNames"]:
        named = {"GroupName": group, "PolicyName": policy}
        document = iam.get_group_policy(**named)["PolicyDocument"]
        iam.put_group_policy(**named, PolicyDocument=widened(document))
    iam.create_user(UserName=f"of-{group}")
    iam.add_user_to_group(GroupName=group, UserName=f"of-{group}")
    key = iam.create_access_key(UserName=f"of-{group}")["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
