"""From a dict or a URL to a store."""

from __future__ import annotations

import pytest

from django_kms_secrets import SecretsError
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.file import FileStore
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.config import CopyOptions, read_config

MARKER = "hunter2-marker"
CREDSTASH = "django_kms_secrets.backends.credstash.CredStashStore"
FILE = "django_kms_secrets.backends.file.FileStore"
LOCMEM = "django_kms_secrets.backends.locmem.LocMemStore"


def good(kept, backend=CREDSTASH):
    """A configuration with a LAST_KNOWN_GOOD."""
    return {"BACKEND": backend, "OPTIONS": {"table": "t"}, "LAST_KNOWN_GOOD": kept}


def store_of(source):
    return read_config(source).make_store()


def test_a_dict_is_backend_options_and_names():
    config = read_config(
        {
            "BACKEND": "django_kms_secrets.backends.credstash.CredStashStore",
            "OPTIONS": {"table": "t", "context": {"env": "production"}},
            "NAMES": ["A", "B", "A"],
        }
    )
    store = config.make_store()
    assert isinstance(store, CredStashStore)
    assert store.table == "t"
    assert store.context == {"env": "production"}
    assert config.names == ("A", "B")


@pytest.mark.parametrize(
    ("url", "kind", "attributes"),
    [
        (
            "credstash://credential-store?region_name=eu-west-1&key_id=alias/x&context.env=prod"
            "&context.app=notes&timeout=3",
            CredStashStore,
            {
                "table": "credential-store",
                "region_name": "eu-west-1",
                "key_id": "alias/x",
                "context": {"env": "prod", "app": "notes"},
            },
        ),
        ("credstash://", CredStashStore, {"table": "credential-store"}),
        ("secretsmanager:///notes/prod", SecretsManagerStore, {"secret_id": "notes/prod"}),
        ("secretsmanager://Notes/prod", SecretsManagerStore, {"secret_id": "Notes/prod"}),
        ("secretsmanager:////slash", SecretsManagerStore, {"secret_id": "/slash"}),
        (
            "secretsmanager:///arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf",
            SecretsManagerStore,
            {"secret_id": "arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf"},
        ),
        ("secretsmanager://?prefix=n/", SecretsManagerStore, {"prefix": "n/", "secret_id": ""}),
        ("file:///srv/app/secrets.env", FileStore, {}),
        ("file:///srv/with%20space/.env", FileStore, {}),
        ("locmem://", LocMemStore, {"name": "default"}),
        ("locmem://other", LocMemStore, {"name": "other"}),
    ],
)  # fmt: skip
def test_a_url_says_the_same_as_a_dict(url, kind, attributes):
    store = store_of(url)
    assert type(store) is kind
    assert {name: getattr(store, name) for name in attributes} == attributes


def test_paths_of_file_urls():
    assert str(store_of("file:///srv/with%20space/.env").path) == "/srv/with space/.env"
    assert str(store_of("file://relative/secrets.json").path) == "relative/secrets.json"


def test_a_url_may_name_what_to_fetch():
    assert read_config("locmem://?names=A,B").names == ("A", "B")
    assert read_config("locmem://").names is None


def test_nothing_given_means_the_url_of_the_environment(monkeypatch):
    monkeypatch.setenv("KMS_SECRETS_URL", "locmem://from-the-environment")
    assert read_config(None).make_store().name == "from-the-environment"


def test_the_table_of_credstashs_own_variable(monkeypatch):
    monkeypatch.setenv("CREDSTASH_DEFAULT_TABLE", "shared")
    assert store_of("credstash://").table == "shared"
    assert store_of("credstash://mine").table == "mine"


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (None, "no configuration was given", "KMS_SECRETS_URL"),
        (42, "a int is no configuration", "a dict or a URL"),
        ({}, "no BACKEND", "CredStashStore"),
        ({"BACKEND": "nowhere.Store"}, "cannot be used", "CredStashStore"),
        ({"BACKEND": ".x"}, "cannot be used", "CredStashStore"),
        ({"BACKEND": "..x.y"}, "cannot be used", "CredStashStore"),
        ({"BACKEND": "django_kms_secrets.load"}, "not a BaseStore", "CredStashStore"),
        ({"BACKEND": "x", "OPTION": {}}, "'OPTION' is not a key", "did you mean OPTIONS?"),
        ({"BACKEND": "x", "OPTIONS": []}, "OPTIONS is not a dict", "OPTIONS"),
        ("credstash", "not the URL of a store", "credstash://, secretsmanager://"),
        (f"{MARKER}:x", "not the URL of a store", "credstash://"),
        (f"credstash://u:{MARKER}@[bad", "the credstash:// URL is not valid", "%5B"),
        (f"credstash://?document=site#{MARKER}", "the credstash:// URL ends at a #", "%23"),
        (f"file://a.json#{MARKER}", "the file:// URL ends at a #", "%23"),
        ("credstash://t?context=prod", "not a dict of non-empty strings", "context.env=production"),
        ("locmem://?names=", "NAMES is not a list", "SECRET_KEY"),
        (f"postgres://u:{MARKER}@h/d", "not the URL of a store", "credstash://"),
        ("credstash://t?regoin_name=x", "'regoin_name' is not an option", "region_name"),
        (f"credstash://t?zzz={MARKER}", "'zzz' is not an option of CredStashStore", "known: table"),
        ("credstash://t?table=u&table=v", "table stands twice", "one of them"),
        ("credstash://t?context=x&context.env=y", "context.env stands twice", "one of them"),
        ("credstash://?table.x=y", "table in the credstash:// URL is one text", "table=value"),
        ("credstash://t?prefix.x=y", "prefix in the credstash:// URL is one text", "prefix=value"),
        (f"credstash://t?bind_to_name.x={MARKER}", "bind_to_name in the", "bind_to_name=value"),
        ("secretsmanager://?prefix.x=y", "prefix in the secretsmanager://", "prefix=value"),
        ("locmem://?name.x=y", "name in the locmem:// URL is one text", "name=value"),
        ("file://?path.x=y", "path in the file:// URL is one text", "path=value"),
        ("locmem://?names.x=y", "names in the locmem:// URL", "names=value"),
        ({"BACKEND": CREDSTASH, "OPTIONS": {"bind_to_name": []}}, "neither true nor", "one of"),
        ("credstash://t?timeout=soon", "'soon' is not a number of seconds", "above 0"),
        ("credstash://t?timeout=-1", "is not a number of seconds", "above 0"),
        ("credstash://t?timeout=1e12", "is not a number of seconds", "at most 86400"),
        ("credstash://t?connect_timeout=nan", "connect_timeout", "above 0"),
        ("credstash://t?digest=SHA3", "'SHA3' is not one of SHA", "SHA256"),
        ("credstash://t?context.env=", "not a dict of non-empty strings", "context.env=production"),
        ("secretsmanager://", "secret_id or prefix, one of them", "JSON document"),
        ("secretsmanager:///x?prefix=y", "secret_id or prefix, one of them", "JSON document"),
        ("secretsmanager:///x?recovery_days=3", "is not 7 to 30", "30"),
        (f"secretsmanager:///x?recovery_days={'9' * 5000}", "is not 7 to 30", "30"),
        ("file:///srv/secrets.txt", "is not known by its name", ".env"),
        ("file://", "format of", "-f"),
        ({"BACKEND": FILE}, "needs the option path", "OPTIONS"),
        ({"BACKEND": LOCMEM, "NAMES": 5}, "NAMES is not a list", '"NAMES": ["SECRET_KEY"]'),
        ({"BACKEND": LOCMEM, "NAMES": "A"}, "NAMES is not a list", '"NAMES": ["SECRET_KEY"]'),
        (good("/run/x"), "LAST_KNOWN_GOOD is not a dict", "last_known_good.path=…"),
        ("credstash://?last_known_good=/run/x", "LAST_KNOWN_GOOD is not a dict", "max_age"),
        (good({"paht": "/run/x"}), "'paht' is not a key of LAST_KNOWN_GOOD", "mean path?"),
        (good({"max_age": 1}), "no absolute path", "/run/site/secrets"),
        (good({"path": "run/x", "max_age": 1}), "no absolute path", "/run/site/secrets"),
        (good({"path": "/run/x"}), "max_age of LAST_KNOWN_GOOD", "3600"),
        (good({"path": "/run/x", "max_age": "0"}), "max_age of LAST_KNOWN_GOOD", "3600"),
        (good({"path": "/run/x", "max_age": "nan"}), "max_age of LAST_KNOWN_GOOD", "3600"),
        (good({"path": "/run/x", "max_age": "inf"}), "max_age of LAST_KNOWN_GOOD", "3600"),
        (good({"path": "/x", "max_age": 1, "key_id": ""}), "is no KMS key", "an alias"),
        (good({"path": "/x", "max_age": 1}, LOCMEM), "not for a LocMemStore", "leave it out"),
        ("file:///x.env?last_known_good.path=/x", "not for a FileStore", "leave it out"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_says_what_and_how(source, message, hint):
    """…and never repeats a URL, which may be somebody's DATABASE_URL in the wrong variable."""
    with pytest.raises(SecretsError) as caught:
        store_of(source)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert MARKER not in str(caught.value)


def test_the_last_known_good_copy():
    """A URL says the same as a dict; without the key there is none."""
    expected = CopyOptions("/run/x", 3600.0, "alias/a")
    kept = {"path": "/run/x", "max_age": 3600, "key_id": "alias/a"}
    assert read_config(good(kept)).last_known_good == expected
    query = "&".join(f"last_known_good.{name}={value}" for name, value in kept.items())
    found = read_config(f"credstash://t?names=A&{query}")
    assert (found.last_known_good, found.options, found.names) == (expected, {"table": "t"}, ("A",))
    assert read_config("credstash://t").last_known_good is None


def test_an_error_about_the_environments_url_names_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever set KMS_SECRETS_URL reads its name, also where settings passed the text on."""
    monkeypatch.setenv("KMS_SECRETS_URL", "credstahs://table")
    for source in (None, "credstahs://table"):
        with pytest.raises(SecretsError, match=r"^\$KMS_SECRETS_URL is not the URL of a store"):
            read_config(source)
    with pytest.raises(SecretsError, match=r"^this is not the URL of a store"):
        read_config("credstahs://another")
