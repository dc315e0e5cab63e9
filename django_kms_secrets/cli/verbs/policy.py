"""Print the least IAM policy that a role needs for this store.

A reader has what the settings need, a writer put and putall, a rotator rotate, rollback and
reencrypt, an admin every verb. NAMES of the configuration count for all but the admin. Nothing is
sent to AWS without --ask-aws.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ... import account, policy, sealing
from ...backends.capabilities import PolicyStore
from ...backends.iam import ACCOUNT, KEY_ARN, ROLES
from ...exceptions import SecretsError, StoreUnavailable

if TYPE_CHECKING:
    import argparse
    import re
    from collections.abc import Callable, Mapping, Sequence

    from ...backends.iam import KeyOf, Statement
    from ...config import Config
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("role", choices=ROLES, metavar="ROLE", help=f"one of {', '.join(ROLES)}")
    parser.add_argument(
        "-f", "--format", choices=("json", "terraform", "cloudformation"), default="json"
    )
    parser.add_argument("--account", metavar="ID", help="the number of the AWS account")
    parser.add_argument(
        "--key-arn",
        action="append",
        metavar="ARN",
        help="the KMS key, where OPTIONS name an alias; once for each, as during a re-encryption",
    )
    parser.add_argument(
        "--ask-aws",
        action="store_true",
        help="ask STS for the account, and KMS for the key that the alias names",
    )


def prepare(options: Mapping[str, Any]) -> dict[str, Any]:
    """Look at the account and the keys that were given.

    Raises:
        SecretsError: one of them cannot be one.
    """
    if options["account"] and not ACCOUNT.fullmatch(options["account"]):
        raise SecretsError("--account is not 12 digits", hint="such as 123456789012")
    if not all(KEY_ARN.fullmatch(arn) for arn in options["key_arn"] or ()):
        raise SecretsError(
            "--key-arn is not the ARN of a KMS key",
            hint="such as arn:aws:kms:REGION:123456789012:key/KEY-ID; "
            "`aws kms describe-key --key-id alias/NAME` shows it",
        )
    return dict(options)


def start(read: Callable[[], Config], options: Mapping[str, Any], console: Console) -> int:
    config = read()
    store = config.make_store()
    if not isinstance(store, PolicyStore):
        raise SecretsError(
            f"{type(store).__name__} needs no permissions in AWS",
            hint="this is for CredStash and Secrets Manager",
        )
    statements, notes = _fitting(store, config, options)
    facts = _facts(store, statements, options)
    console.data(_written(statements, facts, options))
    for note in [*notes, *_placeholders(statements, facts, options)]:
        console.say(f"note: {note}")
    return 0


def _fitting(
    store: PolicyStore, config: Config, options: Mapping[str, Any]
) -> tuple[list[Statement], list[str]]:
    """The statements, and what whoever grants them should know.

    Names that do not fit into a managed policy become a wildcard, if there is a prefix that keeps
    it from everybody else's.
    """

    def statements(names: Sequence[str] | None) -> list[Statement]:
        role, keys = options["role"], options["key_arn"] or ()
        found = store.statements(role, names=names, listing=listing, keys=keys)
        # Nobody else reads as settings do.
        copy = sealing.statements(config, store, keys) if role in ("reader", "admin") else []
        return [*found, *copy]

    names = config.names
    listing = names is None
    exact = statements(names)
    size, limit = policy.size(exact), policy.MANAGED_POLICY
    found, notes = exact, []
    prefix = getattr(store, "prefix", "")
    if size > limit and names and prefix:
        found = statements(None)
        notes = [
            f"{len(names)} names make {size:,} characters, and a managed policy takes {limit:,}: "
            f"everything under the prefix {prefix} is allowed instead"
        ]
    elif size > limit:
        notes = [
            f"this policy has {size:,} characters, and a managed policy takes {limit:,}: make it "
            "an inline policy of a role (10,240), or give the names a prefix of their own"
        ]
    return found, [*notes, *(note for statement in found for note in statement.notes)]


def _facts(
    store: PolicyStore, statements: Sequence[Statement], options: Mapping[str, Any]
) -> policy.Facts:
    facts = policy.Facts(account=options["account"])
    if options["ask_aws"]:
        keys = policy.unknown_keys(statements)
        facts = replace(
            facts,
            account=facts.account or _account_of(store, statements),
            keys={key: _arn_of(store, key) for key in keys},
        )
    if options["format"] == "json" and policy.needs_account(statements):
        region = store.region_name or account.default_region(store.profile_name)
        facts = replace(
            facts, region=region, partition=account.partition_of(region, store.profile_name)
        )
    return facts


def _account_of(store: PolicyStore, statements: Sequence[Statement]) -> str | None:
    if not policy.needs_account(statements):
        return None
    reply, _ = account.caller(store)
    return _answer(reply["Account"], ACCOUNT, "GetCallerIdentity", "the number of an account")


def _arn_of(store: PolicyStore, key: KeyOf) -> str:
    reply = account.describe_key(store, key.key_id, key.region)
    return _answer(reply["Arn"], KEY_ARN, "DescribeKey", "the ARN of a KMS key")


def _answer(text: str, pattern: re.Pattern[str], operation: str, what: str) -> str:
    """What AWS says, if it is what it should be: it becomes a part of a program."""
    if pattern.fullmatch(text):
        return text
    raise StoreUnavailable(
        f"the answer to {operation} is not {what}",
        hint="check endpoint_url: something else than AWS may be listening there",
    )


def _written(
    statements: Sequence[Statement], facts: policy.Facts, options: Mapping[str, Any]
) -> str:
    role = options["role"]
    if options["format"] == "terraform":
        return policy.as_terraform(statements, f"secrets_{role}", facts)
    if options["format"] == "cloudformation":
        return policy.as_cloudformation(statements, f"Secrets{role.title()}", facts)
    return policy.as_json(statements, facts)


def _placeholders(
    statements: Sequence[Statement], facts: policy.Facts, options: Mapping[str, Any]
) -> list[str]:
    """What is still to be filled in, and by whom."""
    if options["format"] == "terraform":
        words = "Terraform looks up the KMS key that {1} names, in the region of its provider"
    else:
        words = "the parameter {0} is the ARN of the KMS key that {1} names"
    missing = policy.unknown_keys(statements, facts, "KeyArn")
    return [words.format(parameter, key.key_id) for key, parameter in missing.items()]
