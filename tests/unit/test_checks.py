"""System checks: each sees what it is about, is silent where that is mended, and names no value."""

from __future__ import annotations

import contextlib
import logging
import os

import pytest
from django.conf import UserSettingsHolder, settings
from django.core.checks import registry
from django.utils.log import configure_logging

from django_kms_secrets import account, load, loader
from django_kms_secrets.apps import KmsSecretsConfig
from django_kms_secrets.backends.file import FileStore
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.checks import stores
from django_kms_secrets.log import RedactingFilter

VALUE = "hunter2-and-more"
CREDSTASH = "django_kms_secrets.backends.credstash.CredStashStore"
BOUND = {
    "BACKEND": CREDSTASH,
    "OPTIONS": {"bind_to_name": True, "region_name": "eu-west-1"},
    "NAMES": ["A"],
}
FILTER = "django_kms_secrets.log.RedactingFilter"
REPORTS = {
    "DEFAULT_EXCEPTION_REPORTER": "django_kms_secrets.reporting.RedactingExceptionReporter",
    "DEFAULT_EXCEPTION_REPORTER_FILTER": (
        "django_kms_secrets.reporting.RedactingExceptionReporterFilter"
    ),
}


@pytest.fixture(autouse=True)
def checks(monkeypatch):
    """Our checks, in a process with no other `Secrets` and handlers than a test's own."""
    if not settings.configured:
        settings.configure()
    monkeypatch.setattr(loader, "_LIVING", type(loader._LIVING)())
    for one in _loggers():
        own = [handler for handler in one.handlers if _is_of_pytest(handler)]
        monkeypatch.setattr(one, "handlers", own)
    found = registry.CheckRegistry()
    monkeypatch.setattr("django_kms_secrets.apps.register", found.register)
    KmsSecretsConfig.ready(None)
    monkeypatch.setattr(f"{__name__}.CHECKS", found)
    return found


#: Those of the test that runs.
CHECKS = registry.CheckRegistry()


@contextlib.contextmanager
def the_settings(**changes):
    """Settings in which all is right, but for these."""
    before = settings._wrapped
    holder = UserSettingsHolder(before)
    for name, value in {"DEBUG": False, **REPORTS, **changes}.items():
        setattr(holder, name, value)
    settings._wrapped = holder
    try:
        yield
    finally:
        settings._wrapped = before


def _loggers():
    return [logging.root, *map(logging.getLogger, [*logging.root.manager.loggerDict])]


def _is_of_pytest(handler):
    return "pytest" in type(handler).__module__


@contextlib.contextmanager
def the_logging(config=None):
    """The handlers of the test's loggers and a filtered one; or Django's and those of a LOGGING."""
    loggers = _loggers()
    before = [
        (one, one.level, one.handlers[:], one.filters[:], one.propagate, one.disabled)
        for one in loggers
    ]
    for one in loggers:
        one.handlers[:] = [own for own in one.handlers if not _is_of_pytest(own)]
    if config is None and not logging.root.handlers:
        logging.root.addHandler(handler(logging.NOTSET, RedactingFilter()))
    elif config is not None:
        logging.root.handlers.clear()
        configure_logging("logging.config.dictConfig", {"version": 1, **config})
    try:
        yield
    finally:
        for one in _loggers():
            if one not in loggers:
                one.handlers.clear()
        for one, level, handlers, filters, propagate, disabled in before:
            one.setLevel(level)
            one.handlers[:] = handlers
            one.filters[:] = filters
            one.propagate, one.disabled = propagate, disabled


def messages(*, deploy=True, logged=None, **changes):
    """What the checks say with some settings: with a hint, and without a value."""
    with the_settings(**changes), the_logging(logged):
        found = CHECKS.run_checks(include_deployment_checks=deploy)
        assert all(one.hint for one in found)
        assert VALUE not in repr(found)
        return [one for one in found if not one.is_silenced()]


def ids(**changes):
    """Their ids."""
    return sorted(one.id.removeprefix("kms_secrets.") for one in messages(**changes))


def message(id, **changes):  # noqa: A002
    """The one message of an id."""
    (only,) = [one for one in messages(**changes) if one.id == f"kms_secrets.{id}"]
    return only


@pytest.fixture
def fetched():
    """A `Secrets` that has fetched A."""
    with LocMemStore() as memory:
        memory.put("A", VALUE)
    secrets = load("locmem://")
    assert secrets["A"] == VALUE
    return secrets


def test_nothing_is_said_of_what_is_right():
    """A bound table with NAMES, the filters installed, DEBUG off."""
    secrets = load(BOUND)
    assert ids(KMS_SECRETS=BOUND) == ids(deploy=False) == []
    assert secrets.place


def test_a_configuration_that_is_wrong():
    """It is E001 alone: no other check fails for it, and none guesses."""
    wrong = {"BACKEND": CREDSTASH, "OPTIONS": {"regoin_name": "x"}}
    assert ids(KMS_SECRETS=wrong) == ids(KMS_SECRETS=wrong, deploy=False, DEBUG=True) == ["E001"]


def test_a_configuration_that_is_empty():
    """A variable that is set to nothing is said to be empty, not to be a wrong URL."""
    found = message("E001", KMS_SECRETS="", deploy=False)
    assert found.msg == "the configuration is empty"


def test_silenced():
    """SILENCED_SYSTEM_CHECKS takes our ids."""
    unbound = {"BACKEND": CREDSTASH, "NAMES": ["A"]}
    assert ids(KMS_SECRETS=unbound) == ["W007"]
    assert ids(KMS_SECRETS=unbound, SILENCED_SYSTEM_CHECKS=["kms_secrets.W007"]) == []


class TestWhatIsLookedAt:
    def test_what_load_made(self):
        """The stores of living `Secrets`, of each layer, without a KMS_SECRETS in the settings."""
        secrets = load("credstash://one?names=A") | load("locmem://")
        found = message("W007")
        assert "CredStash table one" in found.msg
        assert ids() == ["W005", "W007"]
        del secrets

    def test_the_url_of_the_environment(self, monkeypatch):
        """What ``load()`` alone reads counts like any other."""
        monkeypatch.setenv("KMS_SECRETS_URL", "credstash://t?bind_to_name=true")
        secrets = load()
        assert ids() == ["W004"]
        del secrets

    def test_what_is_in_both_counts_once(self):
        """KMS_SECRETS is most often what load() was called with."""
        secrets = load({**BOUND, "NAMES": None})
        assert ids(KMS_SECRETS={**BOUND, "NAMES": None}) == ["W004"]
        assert ids(KMS_SECRETS="credstash://t?bind_to_name=true") == ["W004", "W004"]
        del secrets


def logged(handlers, *, filters=FILTER, **more):
    """A LOGGING with these handlers at the root, in which Django's own have gone."""
    return {
        "disable_existing_loggers": False,
        "filters": {"ours": {"()": filters}},
        "handlers": handlers,
        "root": {"handlers": [*handlers]},
        "loggers": {"django": {}, "django.server": {"propagate": True}},
        **more,
    }


STREAM = {"class": "logging.StreamHandler"}
GOOD = {**STREAM, "filters": ["ours"]}


class TestLogs:
    @pytest.mark.parametrize(
        "handlers, filters, lacking",
        [
            ({"a": GOOD}, FILTER, False),
            ({"a": GOOD}, RedactingFilter, False),
            ({"a": GOOD}, lambda: RedactingFilter(), False),
            ({"a": GOOD, "b": {"class": "logging.NullHandler"}}, FILTER, False),
            ({"a": STREAM}, FILTER, True),
            ({"a": {**STREAM, "filters": None}}, FILTER, True),
            ({"a": {"()": logging.StreamHandler}}, FILTER, True),
            ({"a": GOOD}, "django.utils.log.RequireDebugFalse", True),
            ({"a": GOOD, "b": STREAM}, FILTER, True),
            ({}, FILTER, True),
        ],
    )
    def test_handlers_without_the_filter(self, fetched, handlers, filters, lacking):
        """W002 where one handler lacks it, or there is none that could have it."""
        found = ids(logged=logged(handlers, filters=filters))
        assert found == ["W002"] * lacking + ["W005"]

    def test_handlers_by_name(self, fetched):
        """The message names those that lack it with their loggers, and no others."""
        config = logged({"good": GOOD, "bad": STREAM})
        config["handlers"]["worse"] = STREAM
        config["loggers"]["notes"] = {"handlers": ["good", "worse"], "propagate": False}
        found = message("W002", logged=config).msg
        assert found.endswith("no filter on bad of root, worse of notes")

    def test_djangos_own_handlers(self, fetched):
        """They have no filter, and stay unless LOGGING names their loggers: mails show values."""
        found = message("W002", logged=logged({"good": GOOD}, loggers={}))
        assert "mail_admins of django," in found.msg
        assert "django.server of django.server" in found.msg
        assert '"django" and "django.server"' in found.hint

    def test_a_handler_that_another_one_feeds(self, fetched):
        """The filter of a MemoryHandler is enough: its target sees clean records alone."""
        memory = {"class": "logging.handlers.MemoryHandler", "capacity": 1, "target": "plain"}
        config = logged({"memory": {**memory, "filters": ["ours"]}})
        config["handlers"]["plain"] = STREAM
        assert ids(logged=config) == ["W005"]

    @pytest.mark.parametrize("changes", [{"LOGGING_CONFIG": None}, {"LOGGING": "logging.yaml"}])
    def test_logging_of_ones_own(self, fetched, logger, changes):
        """Whoever configures logging otherwise is looked at as well, by what came of it."""
        assert ids(**changes) == ["W005"]
        logger("notes", logging.INFO, handler())
        assert message("W002", **changes).msg.endswith("no filter on StreamHandler of notes")

    def test_nothing_loaded(self, monkeypatch):
        """Without a secret there is nothing to hide."""
        monkeypatch.setattr("django_kms_secrets.checks.reports.is_anything_loaded", lambda: False)
        assert ids(logged={}) == []


@pytest.fixture
def logger():
    """A function that gives a logger, which afterwards is as it was."""
    changed = []

    def get(name, level, *handlers, propagate=False):
        found = logging.getLogger(name)
        changed.append((found, found.level, found.handlers[:], found.propagate))
        found.setLevel(level)
        found.handlers[:] = handlers
        found.propagate = propagate
        return found

    yield get
    for found, level, handlers, propagate in changed:
        found.setLevel(level)
        found.handlers[:] = handlers
        found.propagate = propagate


def handler(level=logging.NOTSET, *filters):
    made = logging.StreamHandler()
    made.setLevel(level)
    for one in filters:
        made.addFilter(one)
    return made


class TestWireLogs:
    @pytest.fixture(autouse=True)
    def _nothing_loaded(self, monkeypatch):
        """W002 has tests of its own."""
        monkeypatch.setattr("django_kms_secrets.checks.reports.is_anything_loaded", lambda: False)

    @pytest.mark.parametrize("name", ["botocore", "boto3", "urllib3", "botocore.parsers"])
    def test_at_debug(self, logger, name):
        """E003 where such a logger is at DEBUG, with a handler that prints what it gets."""
        logger(name, logging.DEBUG, handler())
        assert ids(KMS_SECRETS=BOUND) == ["E003"]
        assert f"at DEBUG, {name} would log" in message("E003", KMS_SECRETS=BOUND).msg

    def test_by_the_root(self, logger):
        """They take their level and their handlers from above, as any."""
        logger("", logging.DEBUG, handler())
        for name in ("botocore", "boto3"):
            logger(name, logging.NOTSET, propagate=True)
        logger("urllib3", logging.INFO)
        assert "at DEBUG, botocore, boto3 would log" in message("E003", KMS_SECRETS=BOUND).msg

    @pytest.mark.parametrize(
        "level, handlers",
        [
            (logging.INFO, [handler()]),
            (logging.DEBUG, []),
            (logging.DEBUG, [logging.NullHandler()]),
            (logging.DEBUG, [handler(logging.INFO)]),
            (logging.DEBUG, [handler(logging.NOTSET, RedactingFilter())]),
        ],
    )
    def test_mended(self, logger, level, handlers):
        """Another level, of the logger or the handler, or the filter."""
        logger("botocore", level, *handlers)
        assert ids(KMS_SECRETS=BOUND) == []

    def test_without_aws(self, logger):
        """Where secrets come from a file, these loggers have none."""
        logger("botocore", logging.DEBUG, handler())
        assert ids(KMS_SECRETS="file://x.env") == ["W005"]


class TestEnvironment:
    def test_the_same_value(self, fetched, monkeypatch):
        """W003 names what the store and the environment have in common."""
        monkeypatch.setenv("A", VALUE)
        assert ids() == ["W003", "W005"]
        assert message("W003").msg.endswith("with the same values: A")

    @pytest.mark.parametrize("name, value", [("A", "another value"), ("B", VALUE), ("A", "")])
    def test_another_value_or_name(self, fetched, monkeypatch, name, value):
        """A variable that is no copy of the secret is none."""
        monkeypatch.setenv(name, value)
        assert ids() == ["W005"]

    def test_nothing_is_fetched_for_it(self, monkeypatch):
        """What was not read yet is not read by a check."""
        monkeypatch.setenv("A", VALUE)
        secrets = load(BOUND)  # there is no AWS to ask
        assert ids() == []
        assert secrets._values is None


class TestStores:
    @pytest.mark.parametrize("url", ["file://x.env", "locmem://"])
    def test_for_development(self, url):
        """W005 under --deploy where DEBUG is off, and at no other time."""
        assert ids(KMS_SECRETS=url) == ["W005"]
        assert ids(KMS_SECRETS=url, DEBUG=True) == ids(KMS_SECRETS=url, deploy=False) == []

    @pytest.mark.parametrize(
        "url, found",
        [
            ("credstash://?bind_to_name=true", ["W004"]),
            ("secretsmanager://?prefix=x/", ["W004"]),
            ("secretsmanager:///x", []),
            ("secretsmanager:///x?names=A", []),
            ("credstash://?document=x&bind_to_name=true", []),
            ("credstash://?document=x", ["W007"]),
            ("credstash://?names=A&context.env=live", []),
            ("credstash://?names=A&bind_to_name=true", []),
            ("credstash://?names=A", ["W007"]),
        ],
    )
    def test_in_aws(self, url, found):
        """W004 without NAMES; W007 for a table whose records are bound to nothing."""
        assert ids(KMS_SECRETS=url) == found
        assert ids(KMS_SECRETS=url, deploy=False) == []

    def test_debug(self):
        """W008 at every check: DEBUG is on, and the secrets are those of AWS."""
        assert ids(KMS_SECRETS=BOUND, DEBUG=True, deploy=False) == ["W008"]

    @pytest.mark.parametrize(
        "option, variables, local",
        [
            ("http://localhost:5000", {}, True),
            ("http://127.0.0.2:5000", {"AWS_ENDPOINT_URL": "https://kms.example"}, True),
            ("http://[::1]:5000", {}, True),
            ("", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, True),
            ("", {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}, True),
            ("http://localstack:4566", {}, True),
            ("http://0.0.0.0:4566", {}, True),
            ("https://localhost.localstack.cloud:4566", {}, True),
            ("https://kms.amazonaws.com.example", {}, True),
            ("http://[::1", {}, False),
            ("localhost:5000", {}, False),
            ("https://dynamodb.eu-west-1.amazonaws.com", {}, False),
            ("http://KMS.eu-west-1.AmazonAWS.com.", {}, False),
            ("https://kms.cn-north-1.amazonaws.com.cn", {}, False),
            ("https://vpce-1-2.kms.eu-west-1.vpce.amazonaws.com", {}, False),
            (
                "https://kms.eu-west-1.api.aws",
                {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
                False,
            ),
            (
                "",
                {
                    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
                    "AWS_ENDPOINT_URL_KMS": "https://kms.eu-west-1.amazonaws.com",
                },
                False,
            ),
        ],
    )
    def test_debug_with_an_emulator(self, monkeypatch, option, variables, local):
        """An endpoint that is not AWS's is no production, wherever it is named; all count."""
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        config = {**BOUND, "OPTIONS": {**BOUND["OPTIONS"], "endpoint_url": option or None}}
        found = ids(KMS_SECRETS=config, DEBUG=True, deploy=False)
        assert found == ([] if local else ["W008"])


def test_the_endpoints_of_aws():
    """Those of every partition that botocore knows."""
    assert {*account._suffixes()} <= {*stores.AWS_SUFFIXES}


class TestFileMode:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "secrets.env"
        path.write_text("A=1\n")
        path.chmod(0o600)
        return path

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
    def test_of_its_owner(self, path, mode):
        """A file that only its owner can read is right."""
        path.chmod(mode)
        assert ids(KMS_SECRETS=f"file://{path}", deploy=False) == []

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620])
    def test_of_others(self, path, mode):
        """W006 at every check where the group or anybody else can read or write it."""
        path.chmod(mode)
        assert ids(KMS_SECRETS=f"file://{path}", deploy=False) == ["W006"]
        found = message("W006", KMS_SECRETS=f"file://{path}")
        assert f"(mode {mode:04o})" in found.msg
        assert f"`chmod 600 {path}`" in found.hint

    def test_of_another_user(self, path, monkeypatch):
        """Its owner could change what the settings read."""
        monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
        if path.stat().st_uid == 0:
            os.chown(path, 4711, -1)
        (found,) = FileStore(path=path).check()
        assert found.msg == f"file {path} belongs to another user"

    def test_of_root(self, path, monkeypatch):
        """Root can read every file as it is."""
        if path.stat().st_uid == 0:
            monkeypatch.setattr(os, "getuid", lambda: 4711)
        assert list(FileStore(path=path).check()) == []

    def test_no_file(self, path):
        """A file that is not there yet is for the fetch to complain of."""
        path.unlink()
        assert ids(KMS_SECRETS=f"file://{path}", deploy=False) == []


def test_only_some_run_without_deploy(checks):
    """Whoever starts a shell is told of what concerns every machine: E001, W006, W008, W009."""
    plain = checks.registered_checks
    names = {check.__name__ for check in plain}
    assert names == {"check_configuration", "check_debug", "check_outage"}
