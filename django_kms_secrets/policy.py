"""Statements as IAM reads them: JSON, or in the language of Terraform or CloudFormation.

What only AWS knows is a fact that is given, or else what the language has for it. JSON has nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .backends.iam import Arn, KeyOf
from .exceptions import SecretsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .backends.iam import Statement

    Text = str | Arn | KeyOf

#: Characters of a managed policy, white space not counted.
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MANAGED_POLICY = 6_144


@dataclass(frozen=True)
class Facts:
    """What OPTIONS do not say.

    Attributes:
        account: the account's number.
        region: the default region.
        partition: the region's partition.
        keys: the ARNs of keys that aliases name.
    """

    account: str | None = None
    region: str | None = None
    partition: str | None = None
    keys: Mapping[KeyOf, str] = field(default_factory=dict)


def unknown_keys(
    statements: Sequence[Statement], facts: Facts = Facts(), name: str = ""
) -> dict[KeyOf, str]:
    """The aliases whose keys AWS has to be asked for, each with a name for what gives the ARN.

    Args:
        statements: where they are.
        facts: what is known already.
        name: of the first; the next has a 2 after it.
    """
    resources = [resource for statement in statements for resource in statement.resources]
    keys = dict.fromkeys(text for text in resources if isinstance(text, KeyOf))
    unknown = [key for key in keys if key not in facts.keys]
    return {key: f"{name}{number if number > 1 else ''}" for number, key in enumerate(unknown, 1)}


def needs_account(statements: Sequence[Statement]) -> bool:
    """Whether an ARN in them is not whole: without its account, its region or its partition."""
    return any(isinstance(text, Arn) for statement in statements for text in _texts(statement))


def _texts(statement: Statement) -> Iterator[Text]:
    yield from statement.resources
    for keys in statement.conditions.values():
        for values in keys.values():
            yield from values


def size(statements: Sequence[Statement]) -> int:
    """What a policy counts against IAM's limits, with the longest names of a region."""
    facts = Facts("0" * 12, "ap-northeast-2", "aws-us-gov")

    def text(part: Text) -> str:
        return "x" * 75 if isinstance(part, KeyOf) else _joined(part, facts, str)

    return len("".join(json.dumps(_document(statements, text), ensure_ascii=False).split()))


def as_json(statements: Sequence[Statement], facts: Facts) -> str:
    """A policy document.

    Raises:
        SecretsError: a fact is missing.
    """

    def text(part: Text) -> str:
        if isinstance(part, KeyOf):
            return facts.keys.get(part) or _refuse_key(part)
        return _joined(part, facts, str)

    return json.dumps(_document(statements, text), indent=4, ensure_ascii=False) + "\n"


def _refuse_key(key: KeyOf) -> str:
    raise SecretsError(
        f"a policy names a KMS key by its ARN, and {key.key_id} does not tell it",
        hint="give --key-arn ARN, or --ask-aws, or a --format that can look it up",
    )


# Terraform

#: What Terraform knows in the place of a fact.
_TERRAFORM = Facts(
    account="${data.aws_caller_identity.current.account_id}",
    region="${data.aws_region.current.id}",
    partition="${data.aws_partition.current.partition}",
)
_SOURCES = ("aws_caller_identity", "aws_region", "aws_partition")


def as_terraform(statements: Sequence[Statement], name: str, facts: Facts) -> str:
    """A data source of type aws_iam_policy_document, and those that it refers to."""
    known = _either(facts, _TERRAFORM, _hcl)
    unknown = unknown_keys(statements, facts, "secrets")

    def text(part: Text) -> str:
        if part in unknown:
            return f"data.aws_kms_key.{unknown[part]}.arn"
        found = _hcl(facts.keys[part]) if isinstance(part, KeyOf) else _joined(part, known, _hcl)
        return f'"{found}"'

    blocks = [line for statement in statements for line in _terraform_statement(statement, text)]
    policy = "\n".join([f'data "aws_iam_policy_document" "{name}" {{', *blocks[1:], "}", ""])
    used = [f'data "{kind}" "current" {{}}\n' for kind in _SOURCES if f"data.{kind}." in policy]
    keys = [
        f'data "aws_kms_key" "{source}" {{\n  key_id = "{_hcl(key.key_id)}"\n}}\n'
        for key, source in unknown.items()
    ]
    return "\n".join([*used, *keys, policy])


def _terraform_statement(statement: Statement, text: Callable[[Text], str]) -> Iterator[str]:
    yield ""
    yield "  statement {"
    yield f'    sid       = "{statement.sid}"'
    yield f"    actions   = {_list(map(text, statement.actions))}"
    yield f"    resources = {_list(map(text, statement.resources))}"
    for operator, keys in statement.conditions.items():
        for key, values in keys.items():
            yield ""
            yield "    condition {"
            yield f'      test     = "{operator}"'
            yield f'      variable = "{_hcl(key)}"'
            yield f"      values   = {_list(map(text, values))}"
            yield "    }"
    yield "  }"


def _list(texts: Iterator[str]) -> str:
    return f"[{', '.join(texts)}]"


def _hcl(text: str) -> str:
    """The inside of a string of Terraform.

    Raises:
        SecretsError: its data source has no way to write it.
    """
    if "&{" in text:
        # https://registry.terraform.io/providers/hashicorp/aws/latest/docs/data-sources/iam_policy_document
        raise SecretsError(
            f"Terraform's aws_iam_policy_document takes &{{ for a variable, in {text!r}",
            hint="give another --format",
        )
    return _escaped(text).replace("${", "$${").replace("%{", "%%{")


# CloudFormation

_CLOUDFORMATION = Facts("${AWS::AccountId}", "${AWS::Region}", "${AWS::Partition}")


class _Tagged(str):
    """Text that is more than that to CloudFormation: it is written after ``!Sub`` or ``!Ref``."""

    tag: str

    def __new__(cls, text: str, tag: str) -> _Tagged:
        made = super().__new__(cls, text)
        made.tag = tag
        return made


def as_cloudformation(statements: Sequence[Statement], name: str, facts: Facts) -> str:
    """A template with one managed policy; a key that is not known is a parameter of it."""
    known = _either(facts, _CLOUDFORMATION, _sub)
    unknown = unknown_keys(statements, facts, "KeyArn")

    def text(part: Text) -> str:
        if isinstance(part, Arn):
            return _Tagged(_joined(part, known, _sub), "!Sub")
        if isinstance(part, KeyOf):
            return facts.keys.get(part) or _Tagged(unknown[part], "!Ref")
        return part

    template: dict[str, Any] = {"AWSTemplateFormatVersion": "2010-09-09"}
    if unknown:
        template["Parameters"] = {
            parameter: {
                "Type": "String",
                "Description": f"The ARN of the KMS key that {key.key_id} names.",
            }
            for key, parameter in unknown.items()
        }
    template["Resources"] = {
        name: {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"PolicyDocument": _document(statements, text)},
        }
    }
    template["Outputs"] = {"PolicyArn": {"Value": _Tagged(name, "!Ref")}}
    return "\n".join([*_yaml(template), ""])


def _sub(text: str) -> str:
    """Text in which CloudFormation fills nothing in."""
    return text.replace("${", "${!")


def _yaml(value: Any, indent: str = "") -> Iterator[str]:
    """The lines of a mapping."""
    for key, inner in value.items():
        # Null, an operator of conditions, would be no text.
        word = key.isalnum() and key != "Null"
        head = f"{indent}{key if word else _scalar(key)}:"
        if isinstance(inner, dict):
            yield head
            yield from _yaml(inner, f"{indent}  ")
        elif isinstance(inner, list):
            yield head
            for entry in inner:
                yield from _yaml_entry(entry, f"{indent}  ")
        else:
            yield f"{head} {_scalar(inner)}"


def _yaml_entry(entry: Any, indent: str) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"{indent}- {_scalar(entry)}"
        return
    first, *rest = _yaml(entry, f"{indent}  ")
    yield f"{indent}- {first.strip()}"
    yield from rest


def _scalar(text: str) -> str:
    quoted = f'"{_escaped(text)}"'
    return f"{text.tag} {quoted}" if isinstance(text, _Tagged) else quoted


# Shared


def _escaped(text: str) -> str:
    r"""The inside of a string in quotes, as Terraform and YAML both read it.

    JSON's would not do: Terraform knows \b and \f not, and for YAML half of a character is one.
    """
    return re.sub(r'["\\]|[^ -~]', _escape, text)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in '"\\':
        return f"\\{char}"
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _document(statements: Sequence[Statement], text: Callable[[Text], str]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [_statement(statement, text) for statement in statements],
    }


def _statement(statement: Statement, text: Callable[[Text], str]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Sid": statement.sid,
        "Effect": "Allow",
        "Action": list(statement.actions),
        "Resource": [text(resource) for resource in statement.resources],
    }
    if statement.conditions:
        made["Condition"] = {
            operator: {key: _values(operator, values, text) for key, values in keys.items()}
            for operator, keys in statement.conditions.items()
        }
    return made


def _values(
    operator: str, values: Sequence[str | Arn], text: Callable[[Text], str]
) -> str | list[str]:
    found = [text(value) for value in values]
    return found[0] if operator == "Null" else found  # it is one or the other


def _joined(part: str | Arn, facts: Facts, quote: Callable[[str], str]) -> str:
    """A text, or an ARN with its facts; ``quote`` is for what comes from OPTIONS."""
    if isinstance(part, str):
        return quote(part)
    region = quote(part.region) if part.region else facts.region
    if not (region and facts.partition and facts.account):
        raise SecretsError(
            "a policy needs the number of the account",
            hint="give --account ID, or --ask-aws, or a --format that can look it up",
        )
    return f"arn:{facts.partition}:{part.service}:{region}:{facts.account}:{quote(part.resource)}"


def _either(facts: Facts, otherwise: Facts, quote: Callable[[str], str]) -> Facts:
    """The facts as text, or what a language has for those that are not known."""

    def known(fact: str | None, expression: str | None) -> str | None:
        return quote(fact) if fact else expression

    return Facts(
        known(facts.account, otherwise.account),
        known(facts.region, otherwise.region),
        known(facts.partition, otherwise.partition),
    )
