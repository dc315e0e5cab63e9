"""override_secrets and memory_store: other values everywhere, and afterwards none of them."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import unittest

import pytest

from django_kms_secrets import SecretNotFound, SecretsError, load, loader
from django_kms_secrets.backends import locmem
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.redaction import redact
from django_kms_secrets.signals import secrets_changed
from django_kms_secrets.testing import Versions, WouldReachAWS, memory_store, override_secrets


@pytest.fixture
def store():
    with LocMemStore() as store:
        store.put_many({"KEY": "stored", "OTHER": "as-stored", "site": '{"banner": "stored"}'})
        yield store


@pytest.fixture
def secrets(store):
    return load(store.url)


@pytest.fixture
def unreachable(monkeypatch):
    """Secrets whose store raises when it is asked."""

    def ask(self, names):
        raise AssertionError("the store was asked")

    monkeypatch.setattr(LocMemStore, "get_many", ask)
    return load("locmem://unreachable")


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    return load("locmem://")


def test_every_way_to_read_gives_it(secrets):
    """Mapping access, get, in, env and the whole mapping give the value, masked; then the old."""
    with override_secrets(KEY="given", NEW="7"):
        assert secrets["KEY"] == secrets.get("KEY") == secrets.env("KEY") == "given"
        assert repr(secrets["KEY"]) == "SecretStr('**********')"
        assert "NEW" in secrets
        assert secrets.env.int("NEW") == 7
        assert dict(secrets) == {
            "KEY": "given",
            "NEW": "7",
            "OTHER": "as-stored",
            "site": '{"banner": "stored"}',
        }
        assert len(secrets) == 4
    assert secrets["KEY"] == "stored"
    assert "NEW" not in secrets
    assert len(secrets) == 3


def test_an_error_ends_it_too(secrets):
    """Whatever ends the block ends the override."""
    with pytest.raises(ZeroDivisionError), override_secrets(KEY="given"):
        raise ZeroDivisionError
    assert secrets["KEY"] == "stored"


def test_they_nest(secrets):
    """The inner one decides, name by name, and the outer one is in force again after it."""
    with override_secrets(KEY="outer", OTHER="outer"):
        with override_secrets(KEY="inner"):
            assert (secrets["KEY"], secrets["OTHER"]) == ("inner", "outer")
        assert secrets["KEY"] == "outer"


def test_they_may_end_in_another_order(secrets):
    """Each takes away its own values only, as fixtures and cleanups end as they like."""
    first, second = override_secrets(KEY="first"), override_secrets(KEY="second")
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert secrets["KEY"] == "second"
    second.__exit__()
    assert secrets["KEY"] == "stored"


def test_one_object_may_be_entered_twice(secrets):
    """A decorated function may call itself."""

    @override_secrets(KEY="given")
    def count(left):
        return count(left - 1) if left else secrets["KEY"]

    assert count(2) == "given"
    assert secrets["KEY"] == "stored"


def test_none_is_a_name_that_is_missing(secrets, monkeypatch):
    """It is in no way there; the error names it and says why. The environment may still have it."""
    with override_secrets(KEY=None, site=None):
        assert "KEY" not in secrets
        assert secrets.get("KEY", "default") == "default"
        assert "site.banner" not in secrets
        assert list(secrets) == ["OTHER"]
        assert secrets.previous("KEY") is None
        assert secrets.fallbacks("KEY") == []
        with pytest.raises(SecretNotFound, match=r"lacks KEY(?s:.*)override_secrets") as caught:
            secrets["KEY"]
        assert caught.value.names == ("KEY",)
        monkeypatch.setenv("KEY", "of-the-environment")
        assert secrets.env("KEY") == "of-the-environment"


def test_a_missing_name_is_not_said_to_lack_in_names(store, caplog):
    """The warning about NAMES is for mistakes in the settings, and not for what a test asks for."""
    secrets = load({"BACKEND": "django_kms_secrets.backends.locmem.LocMemStore", "NAMES": ["KEY"]})
    with override_secrets(OTHER=None):
        assert secrets.get("OTHER") is None
    assert caplog.text == ""


def test_trees(secrets):
    """What is no text is JSON; dotted names reach into it, and may be overridden themselves."""
    with override_secrets(site={"banner": "given", "limits": {"notes": 3}}):
        assert secrets["site.banner"] == "given"
        assert secrets["site.limits.notes"] == "3"
        assert secrets.json("site")["limits"] == {"notes": 3}
        assert "site.nothing" not in secrets
    with override_secrets(**{"site.banner": "given"}):
        assert secrets["site.banner"] == "given"
        assert secrets.json("site")["banner"] == "stored"
    assert secrets["site.banner"] == "stored"


def test_versions(store, secrets):
    """Without `Versions` there is one value; with it, previous and pending ones are given too."""
    store.put("KEY", "newer")
    with override_secrets(KEY="given"):
        assert secrets.previous("KEY") is None
        assert secrets.fallbacks("KEY") == []
    with override_secrets(KEY=Versions("given", previous="before", pending="next")):
        assert secrets["KEY"] == "given"
        assert secrets.previous("KEY") == "before"
        assert secrets.fallbacks("KEY") == ["next", "before"]
    assert secrets.previous("KEY") == "stored"


def test_a_database(secrets):
    """`database()` makes its entry of the value that is given."""
    with override_secrets(DATABASE_URL="postgres://anna:given-pw@db/site"):
        entry = secrets.database("DATABASE_URL")
    assert (entry["USER"], entry["PASSWORD"]) == ("anna", "given-pw")


def test_no_store_is_asked_for_what_is_given(unreachable):
    """Not for its value, its versions or a part of it, nor to send the signal."""
    with override_secrets(KEY=Versions("given", previous="before"), site={"banner": "given"}):
        assert unreachable["KEY"] == "given"
        assert unreachable.previous("KEY") == "before"
        assert unreachable["site.banner"] == "given"
        with pytest.raises(AssertionError, match="was asked"):
            unreachable["OTHER"]


def test_offline(offline):
    """In offline mode a name that is given has its value, and others stay empty."""
    url = "postgres://anna:given-pw@db/site"
    tree = {"username": "anna", "password": "given-pw", "engine": "postgres", "host": "db"}
    with override_secrets(KEY=Versions("given", previous="before"), DATABASE_URL=url, GONE=None):
        assert offline["KEY"] == offline.env("KEY") == "given"
        assert offline.previous("KEY") == "before"
        assert offline.env.db("DATABASE_URL")["PASSWORD"] == "given-pw"
        assert offline.database("DATABASE_URL")["PASSWORD"] == "given-pw"
        assert offline["OTHER"] == offline.env("OTHER") == ""
        assert offline.env.str("OTHER", choices=["a"]) == ""
        with pytest.raises(SecretsError, match="none of"):
            offline.env.str("KEY", choices=["a"])
        for ask in (offline, offline.env, offline.json):
            with pytest.raises(SecretNotFound):
                ask["GONE"] if ask is offline else ask("GONE")
        assert sorted(offline) == ["DATABASE_URL", "KEY"]
    with override_secrets(**tree):
        assert offline.database()["PASSWORD"] == "given-pw"
    assert offline["KEY"] == ""
    assert offline.database() == {}


def test_a_refresh_does_not_undo_it(store, secrets):
    """A refresh inside fetches and says what else changed; the override stays, to its own end."""
    assert secrets["KEY"] == "stored"
    with override_secrets(KEY="given"):
        store.put_many({"KEY": "newer", "OTHER": "newer"})
        assert secrets.refresh() == {"OTHER"}
        assert secrets["KEY"] == "given"
    assert secrets["KEY"] == "newer"


def test_other_threads_see_it(secrets):
    """As the threads of Django's LiveServerTestCase do; one that began before it, too."""
    begun, go, seen = threading.Event(), threading.Event(), []

    def serve():
        begun.set()
        assert go.wait(20)
        seen.append(secrets["KEY"])

    thread = threading.Thread(target=serve)
    thread.start()
    assert begun.wait(20)
    with override_secrets(KEY="given"):
        go.set()
        thread.join()
    assert seen == ["given"]


def test_other_threads_may_load_meanwhile(store, monkeypatch):
    """A block asks which `Secrets` there are as it begins and ends; that is no error then."""
    monkeypatch.setattr(loader, "_LIVING", type(loader._LIVING)())
    interval = sys.getswitchinterval()
    kept = [load(store.url) for _ in range(500)]

    def load_more():
        for _ in range(3000):
            kept.append(load(store.url))

    thread = threading.Thread(target=load_more)
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        while thread.is_alive():
            loader.living()
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert len(loader.living()) == len(kept)


def test_all_secrets_or_one(store):
    """All that were loaded, also meanwhile and in layers; or only the one that is passed."""
    one, other = load(store.url), load(store.url)
    with override_secrets(KEY="given"):
        assert [each["KEY"] for each in (one, other, one | other, load(store.url))] == ["given"] * 4
    with override_secrets(one, KEY="given"):
        assert (one["KEY"], other["KEY"]) == ("given", "stored")
    with override_secrets(one, NEW="given"):
        assert (len(one), len(other)) == (4, 3)


def test_receivers_are_told(secrets):
    """The signal is sent at both ends, with the names whose value is another one."""
    assert secrets["KEY"] == "stored"
    heard = []

    def receiver(sender, secrets, names, **kwargs):
        heard.append((names, {name: secrets.get(name) for name in names}))

    secrets_changed.connect(receiver)
    try:
        with override_secrets(secrets, KEY="given", OTHER="as-stored", NEW=None):
            pass
    finally:
        secrets_changed.disconnect(receiver)
    assert heard == [({"KEY"}, {"KEY": "given"}), ({"KEY"}, {"KEY": "stored"})]


def test_a_receiver_that_would_reach_aws(secrets):
    """Ends what is about to begin: the values are given to no other test."""

    def receiver(sender, **kwargs):
        raise WouldReachAWS

    secrets_changed.connect(receiver)
    try:
        with pytest.raises(WouldReachAWS), override_secrets(secrets, KEY="given"):
            pass
    finally:
        secrets_changed.disconnect(receiver)
    assert secrets["KEY"] == "stored"


def test_values_are_hidden_as_long_as_they_are_given(secrets):
    """Reports and logs hide a value that is given as they do a fetched one."""
    with override_secrets(KEY="given-and-long"):
        assert redact("it is given-and-long") == "it is **********"
    assert redact("it is given-and-long") == "it is given-and-long"


def test_it_decorates_functions(secrets):
    """A function and a coroutine function, which keep their names and arguments."""

    @override_secrets(KEY="given")
    def plain(more):
        """What it says."""
        return secrets["KEY"], more

    @override_secrets(KEY="given")
    async def coroutine():
        await asyncio.sleep(0)
        return secrets["KEY"]

    assert plain("more") == ("given", "more")
    assert (plain.__name__, plain.__doc__) == ("plain", "What it says.")
    assert asyncio.run(coroutine()) == "given"
    made = coroutine()
    assert secrets["KEY"] == "stored"  # not before it runs
    made.close()


def run(case):
    """Run a test case; gives its problems."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    return [text for _, text in (*result.failures, *result.errors)]


def test_it_decorates_test_cases(secrets):
    """From setUpClass on, in subclasses too, and also if setUpClass fails; then no more."""
    seen = []

    @override_secrets(KEY="given")
    class Case(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            seen.append((cls.__name__, secrets["KEY"]))

        def test_it(self):
            seen.append((type(self).__name__, secrets["KEY"]))

    class Derived(Case):
        pass

    class Broken(Case):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            raise ZeroDivisionError

    assert run(Case) == []
    assert run(Derived) == []
    assert seen == [(name, "given") for name in ("Case", "Case", "Derived", "Derived")]
    assert "ZeroDivisionError" in run(Broken)[0]
    assert secrets["KEY"] == "stored"


def test_a_derived_test_case_has_the_last_word(secrets):
    """What it is decorated with is over what its base is decorated with, and is not the base's."""
    seen = []
    heard = []

    def receiver(sender, names, **kwargs):
        if kwargs["secrets"] is secrets:
            heard.append(set(names))

    @override_secrets(KEY="given", OTHER="given")
    class Case(unittest.TestCase):
        def test_it(self):
            seen.append((secrets["KEY"], secrets["OTHER"]))

    @override_secrets(KEY="another")
    class Derived(Case):
        pass

    secrets_changed.connect(receiver)
    try:
        assert run(Derived) == []
    finally:
        secrets_changed.disconnect(receiver)
    assert run(Case) == []
    assert seen == [("another", "given"), ("given", "given")]
    assert heard == [{"KEY", "OTHER"}, {"KEY"}, {"KEY"}, {"KEY", "OTHER"}]


def test_test_cases_of_several_bases(secrets):
    """Each base has its values and its setUpClass, in the order of the bases."""
    seen = []

    @override_secrets(KEY="given")
    class Case(unittest.TestCase):
        pass

    @override_secrets(OTHER="given")
    class Another(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            seen.append("setUpClass")

    class Both(Case, Another):
        def test_it(self):
            seen.append((secrets["KEY"], secrets["OTHER"]))

    assert run(Both) == []
    assert seen == ["setUpClass", ("given", "given")]
    assert (secrets["KEY"], secrets["OTHER"]) == ("stored", "as-stored")


def test_it_decorates_no_generator():
    """Its body would run when the block is over: a fixture, say, would have the old values."""

    def generator():
        yield

    async def async_generator():
        yield

    for function in (generator, async_generator):
        with pytest.raises(TypeError, match="generator is a generator"):
            override_secrets(KEY="given")(function)


def test_it_decorates_no_other_class():
    """As Django's override_settings; what else would be entered, and when, nobody could tell."""
    with pytest.raises(TypeError, match="Plain is no unittest"):

        @override_secrets(KEY="given")
        class Plain:
            pass


@pytest.mark.parametrize("value", [object(), {"a": object()}, float("nan"), Versions(b"hunter2")])
def test_a_value_is_text_or_json(value):
    """Anything else is an error, which does not show it."""
    with pytest.raises(SecretsError, match="the value of KEY is neither") as caught:
        override_secrets(KEY=value)
    assert "hunter2" not in str(caught.value)


def test_values_are_given_by_name():
    """A dict in their place is an error, and not a `Secrets` that nobody asks."""
    with pytest.raises(SecretsError, match="a dict is no Secrets"):
        override_secrets({"KEY": "given"})


def test_a_store_in_memory(monkeypatch):
    """`memory_store` is empty, has a URL, and is gone at the end; two of them share nothing."""
    monkeypatch.setenv("KMS_SECRETS_URL", "")
    with memory_store() as one, memory_store() as other:
        one.put("KEY", "hunter2")
        assert json.dumps(load(one.url)["KEY"]) == '"hunter2"'
        assert "KEY" not in load(other.url)
    assert not locmem._STORES


def test_a_url_names_the_store():
    """Whatever its name has in it."""
    with LocMemStore(name="a b?c#d/é") as store:
        store.put("KEY", "hunter2")
        assert load(store.url)["KEY"] == "hunter2"
