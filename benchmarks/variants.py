"""What is compared: settings that read the same secrets by different programs, and commands.

Each program is used as its own documentation shows it, and stopped from nothing: `USAGE` says
where. A new variant is an entry here, and a name in the cells of `matrix` that it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata, util

from .stand_in import DOCUMENT, PREFIX, TABLE

OURS = "django-kms-secrets"


@dataclass(frozen=True)
class Settings:
    """A settings module.

    Attributes:
        name: the program, as tables show it.
        text: the module's text below ``NAMES``, the list of names; it makes ``VALUES`` of them. For
            ``{fields}`` a line for each name stands there.
        package: what it needs, as it is installed.
        way: how it reads, where a program has several ways.
        launcher: arguments of Python for a process that becomes the one which reads.
        boto3: whether it is told which certificates boto3 trusts, which has some of its own.
    """

    name: str
    text: str
    package: str = OURS
    way: str = ""
    launcher: tuple[str, ...] = ()
    boto3: bool = True

    @property
    def label(self) -> str:
        """What tables call it."""
        return f"{self.name}, {self.way}" if self.way else self.name

    def module(self, names: list[str]) -> str:
        """The text of the settings module."""
        fields = "\n".join(f"    {name}: str" for name in names)
        text = self.text.replace("{fields}", fields)
        return f"NAMES = {names!r}\n{text}\nSECRET_KEY = VALUES.get('SECRET_KEY', 'x')\n"


@dataclass(frozen=True)
class Command:
    """A command that stores the secrets of ``secrets.json``.

    Attributes:
        name, package, way: as of `Settings`.
        arguments: ``sys.argv``.
        text: Python that runs it.
        layout: where the secrets are afterwards: ``table``, ``document`` or ``names``.
    """

    name: str
    arguments: tuple[str, ...]
    text: str
    layout: str
    package: str = OURS
    way: str = ""

    label = Settings.label


Variant = Settings | Command


def is_installed(variant: Variant) -> bool:
    """Whether what the variant needs is there: in the project's tests not every peer is."""
    if variant.package == OURS:  # from a tree of the sources it has no metadata
        return util.find_spec("django_kms_secrets") is not None
    try:
        metadata.version(variant.package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _ours(backend: str, options: dict[str, str], way: str = "", *, boto3: bool = False) -> Settings:
    """Settings as the README has them."""
    config = {"BACKEND": f"django_kms_secrets.backends.{backend}", "OPTIONS": options}
    text = f"""
from django_kms_secrets import load
secrets = load({{**{config!r}, "NAMES": NAMES}})
VALUES = {{name: secrets[name] for name in NAMES}}
"""
    return Settings(OURS, text, way=way, boto3=boto3)


_CREDSTASH = "credstash.CredStashStore"
_SECRETS_MANAGER = "secretsmanager.SecretsManagerStore"

BASE = Settings("settings without secrets", "VALUES = {}", package="Django")
IMPORT = Settings(OURS, "from django_kms_secrets import load\nVALUES = {}", way="only imported")

OURS_DOCUMENT = _ours(_SECRETS_MANAGER, {"secret_id": DOCUMENT})
OURS_BOTO3 = _ours(
    _SECRETS_MANAGER, {"secret_id": DOCUMENT, "transport": "boto3"}, "through boto3", boto3=True
)
OURS_RUN = Settings(
    OURS,
    """
from django_kms_secrets import load
secrets = load()
VALUES = {name: secrets[name] for name in NAMES}
""",
    way="through run",
    launcher=(
        *("-m", "django_kms_secrets", "run"),
        *("--url", f"secretsmanager:///{DOCUMENT}", "--"),
    ),
)
OURS_NAMES = _ours(_SECRETS_MANAGER, {"prefix": PREFIX})
OURS_TABLE_NAMES = _ours(_CREDSTASH, {"table": TABLE}, "by name")
OURS_TABLE_DOCUMENT = _ours(_CREDSTASH, {"table": TABLE, "document": DOCUMENT})
# Without NAMES: everything that is there.
OURS_TABLE = Settings(
    OURS,
    f"""
from django_kms_secrets import load
secrets = load("credstash://{TABLE}")
VALUES = {{name: secrets[name] for name in NAMES}}
""",
    way="the whole table",
    boto3=False,
)

BOTO3_DOCUMENT = Settings(
    "boto3",
    f"""
import json, boto3
reply = boto3.client("secretsmanager").get_secret_value(SecretId="{DOCUMENT}")
document = json.loads(reply["SecretString"])
VALUES = {{name: document[name] for name in NAMES}}
""",
    "boto3",
)
BOTO3_NAMES = Settings(
    "boto3",
    f"""
import boto3
client = boto3.client("secretsmanager")
VALUES = {{}}
for start in range(0, len(NAMES), 20):
    ids = ["{PREFIX}" + name for name in NAMES[start : start + 20]]
    for found in client.batch_get_secret_value(SecretIdList=ids)["SecretValues"]:
        VALUES[found["Name"].removeprefix("{PREFIX}")] = found["SecretString"]
""",
    "boto3",
    "batches of 20",
)
DJANGO_SECRETS_MANAGER = Settings(
    "django-secrets-manager",
    f"""
AWS_SECRETS_MANAGER_SECRET_NAME = "{DOCUMENT}"
AWS_SECRETS_MANAGER_REGION_NAME = "us-east-1"
from django_secrets import SECRETS
VALUES = {{}}
for name in NAMES:
    VALUES[name] = SECRETS[name]
""",
    "django-secrets-manager",
)
PYDANTIC = Settings(
    "pydantic-settings",
    f"""
from pydantic_settings import AWSSecretsManagerSettingsSource, BaseSettings
class Secrets(BaseSettings):
{{fields}}
    @classmethod
    def settings_customise_sources(
        cls, settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
    ):
        aws = AWSSecretsManagerSettingsSource(settings_cls, "{DOCUMENT}")
        return (init_settings, env_settings, dotenv_settings, file_secret_settings, aws)
VALUES = Secrets().model_dump()
""",
    "pydantic-settings",
)
CACHING_DOCUMENT = Settings(
    "aws-secretsmanager-caching",
    f"""
import json
import botocore.session
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig
client = botocore.session.get_session().create_client("secretsmanager")
cache = SecretCache(config=SecretCacheConfig(), client=client)
document = json.loads(cache.get_secret_string("{DOCUMENT}"))
VALUES = {{name: document[name] for name in NAMES}}
""",
    "aws-secretsmanager-caching",
)
CACHING_NAMES = Settings(
    "aws-secretsmanager-caching",
    f"""
import botocore.session
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig
client = botocore.session.get_session().create_client("secretsmanager")
cache = SecretCache(config=SecretCacheConfig(), client=client)
VALUES = {{name: cache.get_secret_string("{PREFIX}" + name) for name in NAMES}}
""",
    "aws-secretsmanager-caching",
)
POWERTOOLS_DOCUMENT = Settings(
    "powertools parameters",
    f"""
from aws_lambda_powertools.utilities import parameters
document = parameters.get_secret("{DOCUMENT}", transform="json")
VALUES = {{name: document[name] for name in NAMES}}
""",
    "aws-lambda-powertools",
)
# Its batches ask by a filter, which Secrets Manager lets have ten names.
POWERTOOLS_NAMES = Settings(
    "powertools parameters",
    f"""
from aws_lambda_powertools.utilities import parameters
VALUES = {{}}
for start in range(0, len(NAMES), 10):
    ids = ["{PREFIX}" + name for name in NAMES[start : start + 10]]
    for name, value in parameters.get_secrets_by_name(ids).items():
        VALUES[name.removeprefix("{PREFIX}")] = value
""",
    "aws-lambda-powertools",
    "batches of 10",
)
CREDSTASH = Settings(
    "credstash",
    """
import credstash
secrets = credstash.getAllSecrets()
VALUES = {name: secrets[name] for name in NAMES}
""",
    "credstash",
    "the whole table",
)
CREDSTASH_DOCUMENT = Settings(
    "credstash",
    f"""
import json, credstash
document = json.loads(credstash.getSecret("{DOCUMENT}"))
VALUES = {{name: document[name] for name in NAMES}}
""",
    "credstash",
)
CREDSTASH_NAMES = Settings(
    "credstash",
    """
import credstash
VALUES = {name: credstash.getSecret(name) for name in NAMES}
""",
    "credstash",
    "by name",
)


def _our_putall(url: str, layout: str, way: str) -> Command:
    return Command(
        OURS,
        ("secrets", "putall", "secrets.json", "--url", url),
        "import runpy\nrunpy.run_module('django_kms_secrets', run_name='__main__')",
        layout,
        way=way,
    )


PUTALL_TABLE = _our_putall(f"credstash://{TABLE}", "table", "CredStash")
PUTALL_DOCUMENT = _our_putall(f"secretsmanager:///{DOCUMENT}", "document", "a document")
PUTALL_NAMES = _our_putall(f"secretsmanager://?prefix={PREFIX}", "names", "a secret per name")
PUTALL_CREDSTASH = Command(
    "credstash",
    ("credstash", "putall", "@secrets.json"),
    "import credstash\ncredstash.main()",
    "table",
    "credstash",
    "CredStash",
)
PUTALL_BOTO3 = Command(
    "boto3",
    ("putall",),
    f"""
import json, boto3
client = boto3.client("secretsmanager")
with open("secrets.json") as file:
    for name, value in json.load(file).items():
        client.create_secret(Name="{PREFIX}" + name, SecretString=value)
""",
    "names",
    "boto3",
    "a secret per name",
)

#: Where the usage of each peer comes from, and what of it is used.
USAGE = {
    "boto3": (
        "https://docs.aws.amazon.com/boto3/latest/reference/services/secretsmanager.html",
        "`get_secret_value`; `batch_get_secret_value` with `SecretIdList`, 20 names a request",
    ),
    "django-secrets-manager": (
        "https://pypi.org/project/django-secrets-manager/",
        "`SECRETS[name]`, of one document",
    ),
    "pydantic-settings": (
        "https://docs.pydantic.dev/latest/concepts/pydantic_settings/#aws-secrets-manager",
        "`AWSSecretsManagerSettingsSource`, one document, a `str` field for each name",
    ),
    "aws-secretsmanager-caching": (
        "https://github.com/aws/aws-secretsmanager-caching-python",
        "`SecretCache.get_secret_string`",
    ),
    "aws-lambda-powertools": (
        "https://docs.powertools.aws.dev/lambda/python/latest/utilities/parameters/",
        '`get_secret(…, transform="json")`; `get_secrets_by_name`, ten names a request, as the '
        "filter it sends takes no more",
    ),
    "credstash": (
        "https://github.com/fugue/credstash",
        "`getAllSecrets()`; `getSecret(name)`; the command `credstash putall @FILE`",
    ),
}
