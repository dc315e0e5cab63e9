"""What the page in the admin shows, before it is a page."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.conf import settings

from django_kms_secrets import AccessDenied, StoreUnavailable, load, loader
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.config import read_config
from django_kms_secrets.contrib.admin import report as module
from django_kms_secrets.contrib.admin.report import Cache

LOCMEM = "django_kms_secrets.backends.locmem.LocMemStore"
VALUE = "a value that nobody may see"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """A process with no other `Secrets` than a test's own, and no KMS_SECRETS."""
    if not settings.configured:
        settings.configure()
    monkeypatch.setattr(loader, "_LIVING", type(loader._LIVING)())


def filled(name="default", **values):
    store = LocMemStore(name=name)
    store.put_many(values)
    return store


def rows(found):
    return {(row.name, row.place): row for row in found.rows}


class TestWhatIsRead:
    def test_a_load(self):
        """A store that a living `Secrets` reads is listed, without a KMS_SECRETS."""
        filled(A=VALUE)
        secrets = load("locmem://")
        found = Cache().report()
        assert found.loads == ["memory store default"]
        assert [row.name for row in found.rows] == ["A"]
        assert VALUE not in repr(found)
        assert secrets

    def test_layers_are_shown_as_they_are_written(self):
        """`SHARED | APP` is one line; the two that it is made of have none of their own."""
        filled("shared", A="1", B="1")
        filled("app", B="2")
        shared, app = load("locmem://shared"), load("locmem://app")
        both = shared | app
        found = Cache().report()
        assert found.loads == ["memory store shared | memory store app"]
        assert [(row.name, row.place) for row in found.rows] == [
            ("A", "memory store shared"),
            ("B", "memory store app"),
            ("B", "memory store shared"),
        ]
        assert both["B"] == "2"

    def test_the_order_of_layers_is_theirs(self):
        """The same stores in another order are another line: another one is in force."""
        one, two = load("locmem://one"), load("locmem://two")
        both = one | two, two | one
        assert set(Cache().report().loads) == {
            "memory store one | memory store two",
            "memory store two | memory store one",
        }
        assert both

    def test_the_settings(self, monkeypatch):
        """KMS_SECRETS is listed where nothing has loaded it, and once where something has."""
        monkeypatch.setattr(settings, "KMS_SECRETS", {"BACKEND": LOCMEM}, raising=False)
        filled(A="1")
        assert len(Cache().report().rows) == 1
        secrets = load({"BACKEND": LOCMEM})
        assert Cache().report().loads == ["memory store default"]
        assert secrets

    def test_nothing(self):
        """A process that reads nothing has an empty report, and no error."""
        found = Cache().report()
        assert not found.loads
        assert not found.rows
        assert not found.problems

    def test_offline(self, monkeypatch):
        """Offline no store is asked, whatever the settings have."""
        monkeypatch.setattr(settings, "KMS_SECRETS", "locmem://", raising=False)
        monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
        filled(A="1")
        found = Cache().report()
        assert not found.rows
        assert "offline" in found.problems[0].message
        assert found.problems[0].hint

    @pytest.mark.parametrize(
        "source", ["nonsense://x", {"BACKEND": LOCMEM, "OPTIONS": {"unknown": 1}}]
    )
    def test_a_configuration_that_is_not_valid(self, monkeypatch, source):
        """It is an error on the page, with its hint."""
        monkeypatch.setattr(settings, "KMS_SECRETS", source, raising=False)
        (problem,) = Cache().report().problems
        assert problem.message
        assert problem.hint


class TestRows:
    def test_a_rotation_in_steps(self):
        """Each step of a rotation has its own words."""
        store = filled(A="1")
        secrets = load("locmem://")
        place = "memory store default"

        def row():
            return rows(Cache().report())["A", place]

        assert (row().version, row().rotated, row().rotation) == ("1", "never", "none under way")
        assert row().findings == ["never rotated"]
        store.stage("A", "2")
        assert row().rotation == "a new value is pending, in version 2: promote or abandon it"
        assert row().version == "1"
        store.promote("A")
        assert row().rotation == "the previous value is kept: retire it once nothing needs it"
        assert (row().version, row().rotated) == ("2", "yes, the date is not recorded")
        assert row().findings == []
        store.retire("A")
        assert row().rotation == "none under way"
        assert secrets

    def test_names(self):
        """A name of NAMES that is nowhere is missing, a stored one that NAMES lack not fetched."""
        filled(A="1", C="1")
        secrets = load({"BACKEND": LOCMEM, "NAMES": ["A", "B"]})
        found = {row.name: row for row in Cache().report().rows}
        assert found["A"].findings == ["never rotated"]
        assert found["B"].place == ""
        assert found["B"].findings == [
            "missing: not in memory store default; to write it: `secrets put B --url URL`, "
            "with the URL of memory store default"
        ]
        assert found["C"].findings[0] == "not fetched: NAMES do not list it"
        assert secrets

    def test_a_layer_may_have_what_another_one_lacks(self):
        """A name that one of the layers has is not missing."""
        filled("shared", A="1")
        filled("app", B="1")
        both = load({"BACKEND": LOCMEM, "OPTIONS": {"name": "shared"}, "NAMES": ["A"]}) | load(
            {"BACKEND": LOCMEM, "OPTIONS": {"name": "app"}}
        )
        found = Cache().report()
        assert not [text for row in found.rows for text in row.findings if "never" not in text]
        assert both


class TestAWS:
    def stored(self, url, **values):
        with read_config(url).make_store() as store:
            if url.startswith("credstash:"):
                store.setup_key()
            store.setup()
            store.put_many(values)
            return store.place

    @pytest.mark.parametrize(
        ("url", "requests", "age", "rotated"),
        [
            ("credstash://", {"dynamodb.Scan": 1}, "not recorded", "never"),
            (
                "credstash://?document=document",
                {"dynamodb.Query": 1, "trentservice.Decrypt": 1},
                "not recorded",
                "not known",
            ),
            (
                "secretsmanager:///document",
                {"secretsmanager.GetSecretValue": 1},
                "0 days or more",
                "not known",
            ),
            (
                "secretsmanager://?prefix=names/",
                {"secretsmanager.ListSecrets": 1},
                "0 days or more",
                "not known",
            ),
        ],
    )
    def test_one_listing(self, aws, url, requests, age, rotated):
        """However many names there are, a report is one listing; no value is in it."""
        place = self.stored(url, **{f"NAME_{number}": VALUE for number in range(5)})
        secrets = load(url)
        cache = Cache()
        with aws.counted() as counted:
            found = cache.report()
        assert counted == requests
        row = rows(found)["NAME_3", place]
        assert (row.age, row.rotated) == (age, rotated)
        assert VALUE not in repr(found)
        with aws.counted() as counted:
            assert cache.report() is found
        assert not counted
        assert secrets

    @pytest.mark.parametrize(
        ("url", "operation", "permission"),
        [
            ("credstash://?names=A", "Scan", "dynamodb:Scan"),
            (
                "secretsmanager://?prefix=names/&names=A",
                "ListSecrets",
                "secretsmanager:ListSecrets",
            ),
        ],
    )
    def test_who_may_read_and_not_list(self, aws, url, operation, permission):
        """A site may have no permission to list: the report names the one that it lacks."""
        self.stored(url, A=VALUE)
        message = f"AccessDeniedException#User is not authorized to perform: {permission}"
        aws.faults.append(lambda asked, _: (400, message) if asked == operation else None)
        secrets = load(url)
        assert secrets["A"] == VALUE
        (problem,) = Cache().report().problems
        assert permission in problem.message
        assert problem.hint

    def test_a_leaf_that_is_fetched_of_a_document(self, aws):
        """NAMES may list a leaf: neither is it missing, nor is its tree one that is not fetched."""
        self.stored("secretsmanager:///document", TREE='{"inner": "1"}', OTHER="2")
        secrets = load("secretsmanager:///document?names=TREE.inner")
        assert secrets["TREE.inner"] == "1"
        found = {row.name: row.findings for row in Cache().report().rows}
        assert found == {"TREE": [], "OTHER": ["not fetched: NAMES do not list it"]}

    def test_a_clock_that_is_behind(self, aws, monkeypatch):
        """What was written just now is no days old, whatever our clock says."""
        place = self.stored("secretsmanager://?prefix=names/", A=VALUE)
        secrets, now = load("secretsmanager://?prefix=names/"), module._now
        monkeypatch.setattr(module, "_now", lambda: now() - timedelta(minutes=1))
        assert rows(Cache().report())["A", place].age == "0 days or more"
        assert secrets

    def test_a_store_that_is_not_there(self, aws):
        """Its error has a hint; of the other stores there are still the names, not compared."""
        place = self.stored("credstash://", A=VALUE)
        gone, there = load("credstash://no-such-table"), load("credstash://?names=B")
        found = Cache().report()
        assert "no-such-table" in found.problems[0].message
        assert found.problems[0].hint
        assert [(row.name, row.place) for row in found.rows] == [("A", place)]
        assert found.rows[0].findings == ["never rotated"]
        assert gone is not there


class TestCache:
    @pytest.fixture
    def asked(self, monkeypatch):
        """How often the store was asked; what it raises then."""
        filled(A="1")
        listed = LocMemStore.list_secrets
        asked = {"times": 0, "error": None}

        def list_secrets(store):
            asked["times"] += 1
            if asked["error"]:
                raise asked["error"]
            return listed(store)

        monkeypatch.setattr(LocMemStore, "list_secrets", list_secrets)
        return asked

    @pytest.fixture
    def clock(self, monkeypatch):
        clock = {"now": 1000.0}
        monkeypatch.setattr(module, "monotonic", lambda: clock["now"])
        return clock

    def test_lifetime(self, asked, clock):
        """Within its lifetime a report is shown again, and after it made anew."""
        secrets, cache = load("locmem://"), Cache()
        first = cache.report()
        clock["now"] += module.LIFETIME
        assert cache.report() is first
        clock["now"] += 1
        assert cache.report() is not first
        assert asked["times"] == 2
        assert secrets

    def test_what_is_read_has_changed(self, asked, clock):
        """A report is not shown for other stores than it was made of."""
        one, cache = load("locmem://"), Cache()
        cache.report()
        two = load("locmem://two")
        assert cache.report().loads == ["memory store default", "memory store two"]
        assert one is not two

    @pytest.mark.parametrize("kind", [StoreUnavailable, AccessDenied])
    def test_an_error_is_kept_too(self, asked, clock, kind):
        """A store that is out is not asked by every reader of the page."""
        asked["error"] = kind("no answer", hint="try again")
        secrets, cache = load("locmem://"), Cache()
        assert cache.report().problems == [("no answer", "try again")]
        assert cache.report().problems
        assert asked["times"] == 1
        asked["error"] = None
        clock["now"] += module.LIFETIME + 1
        assert not cache.report().problems
        assert secrets

    def test_a_store_that_takes_longer_than_the_lifetime(self, clock, monkeypatch):
        """Who waited for it has its report, and does not ask it once more."""

        def slow(store):
            clock["now"] += module.LIFETIME + 1
            raise StoreUnavailable("no answer")

        monkeypatch.setattr(LocMemStore, "list_secrets", slow)
        secrets, cache = load("locmem://"), Cache()
        assert cache.report() is cache.report()
        assert secrets is not None

    def test_a_store_in_two_layers(self, asked, clock):
        """A store that two `Secrets` read is asked once, and fails once."""
        asked["error"] = StoreUnavailable("no answer")
        shared = load("locmem://")
        both = shared | load("locmem://one"), shared | load("locmem://two")
        found = Cache().report()
        assert len(found.loads) == 2
        assert len(found.problems) == 3
        assert asked["times"] == 3
        assert both

    def test_a_store_with_other_names(self, asked, clock):
        """A store of which different NAMES are read is asked once, and fails once."""
        asked["error"] = StoreUnavailable("no answer")
        both = [load({"BACKEND": LOCMEM, "NAMES": [name]}) for name in ("A", "B")]
        assert len(Cache().report().problems) == 1
        assert asked["times"] == 1
        assert both

    def test_an_error_shows_no_loaded_value(self, asked, clock):
        """What a store should never put into an error is hidden all the same."""
        filled(A=VALUE)
        secrets = load("locmem://")
        assert secrets["A"] == VALUE
        asked["error"] = AccessDenied(f"refused: {VALUE}", hint=f"look at {VALUE}")
        (problem,) = Cache().report().problems
        assert VALUE not in repr(problem)
        assert problem.message == "refused: **********"

    def test_readers_at_the_same_time_share_one_listing(self, asked, monkeypatch):
        """Threads that come while a store is asked wait for its answer."""
        listed = LocMemStore.list_secrets

        def slow(store):
            time.sleep(0.1)  # the others come meanwhile
            return listed(store)

        monkeypatch.setattr(LocMemStore, "list_secrets", slow)
        secrets, cache, found = load("locmem://"), Cache(), []
        threads = [threading.Thread(target=lambda: found.append(cache.report())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(report) for report in found}) == 1
        assert (len(found), asked["times"]) == (8, 1)
        assert secrets
