"""`copy`: from one store to another, read back, and never over what somebody else wrote."""

from __future__ import annotations

import json
import re
from itertools import count

import pytest

from django_kms_secrets.backends.capabilities import KeyedStore
from django_kms_secrets.backends.contents import RESERVED
from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.document import Document
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.cli import plan
from django_kms_secrets.cli.past import read_past
from django_kms_secrets.cli.verbs import copy as copy_verb
from django_kms_secrets.config import read_config
from django_kms_secrets.exceptions import StoreUnavailable
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS
from tests.server.embedded import REGION

from .conftest import MARK, denied
from .doors import inside

VALUES = {
    "A": f"{MARK} 'a'\n\"ü\" 🔑",
    "db": '{"user": "u", "ports": [1, 2]}',
    "dotted.name": f"{MARK}-dotted",
}
#: All kinds of stores; DIRECTORY is one of the test's own.
KINDS = {
    "table": f"credstash://one?region_name={REGION}&prefix=notes/",
    "table document": f"credstash://two?region_name={REGION}&document=notes",
    "document": f"secretsmanager:///notes?region_name={REGION}",
    "names": f"secretsmanager://?region_name={REGION}&prefix=other/",
    "file": "file://DIRECTORY/secrets.env",
    "memory": "locmem://DIRECTORY",
}
IN_USE = [(PREVIOUS, 1), (CURRENT, 2), (PENDING, 3)]
#: The documents of these as values of their own.
RAW = {
    "table document": f"credstash://two?region_name={REGION}",
    "document": f"secretsmanager://?region_name={REGION}&prefix=",
}
STAGED = [kind for kind in KINDS if kind != "file"]


def ring(*kinds: str) -> list[tuple[str, str]]:
    """Each to the next one; each to each other is in test_moves.py."""
    return list(zip(kinds, [*kinds[1:], kinds[0]], strict=True))


def opened(url):
    return read_config(url).make_store()


def read(url) -> dict[str, str]:
    with opened(url) as store:
        return {name: secret.value for name, secret in store.get_many(None).items()}


@pytest.fixture
def at(aws, tmp_path):
    """A function that gives the URL of a kind of store, which is set up."""

    def made(kind: str) -> str:
        url = KINDS[kind].replace("DIRECTORY", str(tmp_path / "stores"))
        with opened(url) as store:
            if isinstance(store, KeyedStore):
                store.setup_key()
            store.setup()
        return url

    return made


@pytest.fixture
def pair(at):
    """A table with three values, and a file without any."""
    source, target = at("table"), at("file")
    with opened(source) as store:
        store.put_many(VALUES)
    return source, target


def interrupt(*_, **__):
    raise KeyboardInterrupt


def faulty(*_, **__):
    raise StoreUnavailable("out of order")


def after_a_write(aws, function, broken):
    """A function that breaks as soon as something was written."""
    return lambda *args, **options: (
        broken if "secretsmanager.CreateSecret" in aws.requests else function
    )(*args, **options)


def copy(source: str, target: str, *options: str, door: str = "module"):
    done = inside(door, source, ["copy", "--to", target, *options])
    assert MARK not in done.words
    return done


class TestCurrentValues:
    @pytest.mark.parametrize("kinds", ring(*KINDS), ids=" to ".join)
    def test_any_store_to_any_other(self, at, kinds):
        """All values arrive as they are; again, nothing is left to copy."""
        source, target = map(at, kinds)
        with opened(source) as store:
            store.put_many(VALUES)
        done = copy(source, target).ok()
        assert "3 copied and read back, 0 were there already\n" in done.err
        assert read(target) == VALUES == read(source)
        assert "0 copied and read back, 3 were there already\n" in copy(source, target).ok().err

    @pytest.mark.parametrize("door", ["module", "manage"])
    def test_both_doors(self, pair, door):
        """The words say which store got how many, and that nothing older came along."""
        done = copy(*pair, door=door).ok()
        path = pair[1].removeprefix("file://")
        assert (done.out, done.err) == (
            "",
            f"file {path}: 3 copied and read back, 0 were there already\n"
            "these are current values; older and pending ones stay behind\n",
        )

    def test_only_what_is_missing(self, pair, aws):
        """What is there already is not written again."""
        target, source = pair[0], pair[1]
        with opened(source) as store:
            store.put_many({**VALUES, "NEW": "n"})
        assert "1 copied and read back, 3 were there" in copy(source, target).ok().err
        with opened(target) as store:
            assert [entry.name for entry in store.list_secrets()] == [
                "A",
                "NEW",
                "db",
                "dotted.name",
            ]

    def test_what_only_the_target_has_stays(self, pair):
        """Nothing is deleted."""
        with opened(pair[1]) as store:
            store.put("MINE", "1")
        copy(*pair).ok()
        assert read(pair[1]) == {**VALUES, "MINE": "1"}

    def test_dry_run(self, pair):
        """It shows the differences, as diff does, and writes nothing."""
        done = copy(*pair, "--dry-run").ok()
        assert [line.split("\t")[:3] for line in done.out.splitlines()] == [
            ["added", "A", ""],
            ["added", "db", ""],
            ["added", "dotted.name", ""],
        ]
        assert done.err == "nothing was written: --dry-run\n"
        assert read(pair[1]) == {}


class TestNames:
    def test_names_of_the_configuration(self, pair):
        """NAMES are what is copied."""
        copy(f"{pair[0]}&names=A,db", pair[1]).ok()
        assert set(read(pair[1])) == {"A", "db"}

    @pytest.mark.parametrize("kind", ["table", "table document", "document", "memory"])
    def test_a_dotted_name_is_its_tree(self, at, kind):
        """Of a name that reaches into a tree the tree is copied; a name with dots is itself."""
        source, target = at(kind), at("file")
        with opened(source) as store:
            store.put_many(VALUES)
        dotted = f"{source}{'&' if '?' in source else '?'}names=db.user,dotted.name"
        copy(dotted, target).ok()
        assert read(target) == {name: VALUES[name] for name in ("db", "dotted.name")}

    def test_missing_names(self, pair):
        """All that are missing are named, and nothing is written."""
        error = copy(f"{pair[0]}&names=A,NOPE,NOR", pair[1]).failed()
        assert ": NOPE, NOR; nothing was written" in error
        assert read(pair[1]) == {}


class TestRefusals:
    @pytest.mark.parametrize("kind", KINDS)
    def test_to_itself(self, at, kind):
        """A store is not copied to itself."""
        url = at(kind)
        assert "--to is the store that is copied from" in copy(url, url).failed()

    @pytest.mark.parametrize(
        "url", ["credstash://one", "secretsmanager://?prefix=x/", "secretsmanager:///x"]
    )
    def test_to_itself_in_the_default_region(self, aws, url):
        """It is one store, whether or not it names its region."""
        region = f"{'&' if '?' in url else '?'}region_name={REGION}"
        for pair in ((url, url), (f"{url}{region}", url), (url, f"{url}{region}")):
            assert "--to is the store that is copied from" in copy(*pair).failed()

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            ("credstash://one", "credstash://one?prefix=c/"),
            ("credstash://one?prefix=c/", "credstash://one?prefix=c/d/"),
            ("credstash://one", "credstash://one?document=d"),
            ("secretsmanager://?prefix=", "secretsmanager://?prefix=c/"),
            ("secretsmanager://?prefix=c/", "secretsmanager:///c/d"),
            (
                "secretsmanager://?prefix=c/",
                f"secretsmanager:///arn:aws:secretsmanager:{REGION}:000000000000:secret:c/d-AbCdEf",
            ),
        ],
    )
    @pytest.mark.parametrize("options", [[], ["--dry-run"], ["--versions"]], ids=str)
    def test_to_a_part_of_itself(self, aws, source, target, options):
        """The next run would copy the copy; so nothing is sent."""
        error = copy(source, target, *options).failed()
        assert "is a part of what is copied" in error
        assert not aws.requests

    def test_into_its_own_table(self, at):
        """What is not a part of the source is another store: beside it, around it, or by NAMES."""
        source = at("table")
        with opened(source) as store:
            store.put_many(VALUES)
        table = f"credstash://one?region_name={REGION}"
        targets = [f"{table}&prefix=other/", table, f"{table}&document=d"]
        with opened(targets[2]) as store:
            store.setup()
        for target in targets:
            for copied in (3, 0):
                assert f"{copied} copied and read back" in copy(source, target).ok().err
        part = f"{source}inner/"
        for copied in (1, 0):
            assert f"{copied} copied" in copy(f"{source}&names=A", part).ok().err

    @pytest.mark.parametrize("url", ["nowhere", f"postgres://u:{MARK}@h/db", "credstash://?a=1"])
    def test_to_no_store(self, pair, url):
        """What is no URL of a store is not repeated."""
        copy(pair[0], url).failed()

    def test_to_a_store_that_is_not_there(self, pair):
        """It is not made."""
        error = copy(pair[0], f"credstash://none?region_name={REGION}").failed()
        assert "CredStash table none" in error

    def test_names_in_the_target(self, pair):
        """NAMES of the target would do nothing."""
        assert "--to has names" in copy(pair[0], f"{pair[1]}?names=A").failed()

    def test_nothing_to_copy(self, pair):
        """An empty store is most likely the wrong one."""
        assert "there are no secrets in file" in copy(pair[1], pair[0]).failed()

    @pytest.mark.parametrize(
        "options", [[], ["--versions"], ["--dry-run"], ["--versions", "--dry-run"]], ids=" ".join
    )
    def test_what_the_target_cannot_hold(self, at, options):
        """Where one value is refused, nothing is written, and a dry run says so."""
        source, target = at("memory"), at("names")
        with opened(source) as store:
            store.put_many({"A": MARK, "EMPTY": ""})
        done = copy(source, target, *options)
        assert done.code == 1
        assert "EMPTY would be empty" in done.err
        assert read(target) == {}

    @pytest.mark.parametrize(
        ("kind", "name", "value", "said"),
        [
            ("names", "n\u00e4me", "1", "other/n\u00e4me cannot be the name of a secret"),
            ("table", "x" * 2043, "1", "DynamoDB takes 2,048"),
            ("names", "x" * 510, "1", "in Secrets Manager: it has 516 characters"),
            ("names", "LARGE", "1" * 65_537, "LARGE is 65,537 bytes"),
            ("table", "LARGE", "1" * 307_201, "LARGE makes an item of 409,6"),
            ("document", RESERVED, "1", "keeps pending and previous values"),
        ],
        ids=["characters", "key", "length", "secret", "item", "reserved"],
    )
    @pytest.mark.parametrize(
        "options", [["--dry-run"], ["--versions", "--dry-run"], []], ids=" ".join
    )
    def test_limits_of_the_target(self, at, aws, kind, name, value, said, options):
        """They are looked at before anything is written, and by a dry run."""
        source, target = at("memory"), at(kind)
        with opened(source) as store:
            store.put_many({"A": MARK, name: value})
        done = copy(source, target, *options)
        assert done.code == 1
        assert said in done.err
        assert read(target) == {}

    def test_an_older_value_that_the_target_cannot_hold(self, at):
        """With versions, older values are looked at before the first is written."""
        source, target = at("memory"), at("names")
        with opened(source) as store:
            store.put_many({"A": MARK, "B": ""})
            store.put("B", MARK)
        assert "B would be empty" in copy(source, target, "--versions").failed()
        assert read(target) == {}

    def test_what_is_kept_need_not_fit(self, at):
        """A value that is not copied is not looked at."""
        source, target = at("memory"), at("names")
        with opened(source) as store:
            store.put_many({"A": MARK, "EMPTY": ""})
        with opened(target) as store:
            store.put("EMPTY", MARK)
        copy(source, target, "--existing", "keep").ok()
        assert read(target) == {"A": MARK, "EMPTY": MARK}

    def test_a_tree_and_its_leaf(self, at):
        """A document has room for one of two values."""
        source, target = at("file"), at("document")
        with opened(source) as store:
            store.put_many({"db": '{"user": "u"}', "db.user": MARK})
        assert "db.user and the tree db" in copy(source, target).failed()
        assert read(target) == {}

    @pytest.mark.parametrize("options", [[], ["--versions"]], ids=str)
    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_a_leaf_whose_tree_is_replaced_by_a_text(self, at, kind, options):
        """It was there already, and is there after that: as a name of its own."""
        source, target = at("file" if not options else "memory"), at(kind)
        values = {"db": "postgres://x", "db.user": MARK}
        with opened(source) as store:
            store.put_many(values)
        with opened(target) as store:
            store.put("db", f'{{"user": "{MARK}"}}')
        for copied in (1, 0):
            done = copy(source, target, *options, "--existing", "overwrite").ok()
            assert f"{copied} copied" in done.err
            assert read(target) == values

    @pytest.mark.parametrize("options", [[], ["--versions"]], ids=str)
    @pytest.mark.parametrize("interrupted", [False, True])
    def test_not_read_back_says_what_is_stored(
        self, at, aws, monkeypatch, caplog, options, interrupted
    ):
        """What is written is there, whether or not it can be looked at."""
        source, target = at("memory"), at("names")
        with opened(source) as store:
            store.put_many({"A": MARK, "B": MARK})
        broken = interrupt if interrupted else faulty
        monkeypatch.setattr(copy_verb.plans, "compare", after_a_write(aws, plan.compare, broken))
        monkeypatch.setattr(copy_verb, "read_past", after_a_write(aws, read_past, broken))
        done = copy(source, target, *options)
        assert done.code == (130 if interrupted else 1)
        assert "stored before that: A, B" in (caplog.text if interrupted else done.err)

    def test_unreadable_source(self, pair, aws):
        """What cannot be read is not left out."""
        with opened(f"{pair[0]}&context.env=other") as store:
            store.put("A", MARK)
        copy(*pair).failed()
        assert read(pair[1]) == {}


class TestExisting:
    @pytest.fixture(autouse=True)
    def _fill(self, pair):
        with opened(pair[1]) as store:
            store.put_many({"A": f"{MARK}-other", "db": VALUES["db"]})

    @pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=str)
    def test_is_an_error(self, pair, options):
        """Without being told to, nothing is overwritten, and nothing else is written either."""
        done = copy(*pair, *options)
        assert done.code == 1
        assert "or one that cannot be read, of A; nothing was written" in done.err
        assert "--existing overwrite writes them" in done.err
        assert set(read(pair[1])) == {"A", "db"}

    def test_overwrite(self, pair):
        """With the word it is."""
        assert "2 copied" in copy(*pair, "--existing", "overwrite").ok().err
        assert read(pair[1]) == VALUES

    def test_keep(self, pair):
        """Or the rest is copied, and what was kept is named."""
        done = copy(*pair, "--existing", "keep").ok()
        assert done.err.endswith("kept as they are: A\n")
        assert read(pair[1]) == {**VALUES, "A": f"{MARK}-other"}

    def test_unreadable(self, pair, at):
        """A value of the target that cannot be read may be another one."""
        target = at("table document")
        hidden = f"credstash://one?region_name={REGION}&prefix=hidden/"
        with opened(f"{hidden}&context.env=other") as store:
            store.put("A", MARK)
        assert "cannot be read, of A;" in copy(pair[0], hidden).failed()
        copy(pair[0], hidden, "--existing", "overwrite").ok()
        assert read(hidden) == VALUES
        assert read(target) == {}


class TestWhatGoesWrong:
    def test_interrupted(self, at, aws):
        """What was stored is said; the same command again copies the rest."""
        source, target = at("memory"), at("names")
        many = {f"NAME_{number}": f"{MARK}-{number}" for number in range(20)}
        with opened(source) as store:
            store.put_many(many)
        done = 0

        def fail_later(operation, _):
            nonlocal done
            done += operation == "CreateSecret"
            return (400, "AccessDeniedException") if done > 5 else None

        aws.faults.append(fail_later)
        assert "but stored" in copy(source, target).failed()
        aws.faults.clear()
        stored = len(read(target))
        assert 0 < stored < 20
        again = copy(source, target).ok().err
        assert f"{20 - stored} copied and read back, {stored} were there already" in again
        assert read(target) == many

    def test_not_the_same_when_read_back(self, pair, monkeypatch):
        """A store that does not give back what it took is found out; names only."""
        put_many = LocMemStore.put_many
        monkeypatch.setattr(
            LocMemStore,
            "put_many",
            lambda store, values, **more: put_many(store, {**values, "A": f"{MARK}-cut"}, **more),
        )
        error = copy(pair[0], "locmem://cut").failed()
        assert "not the same when read back: A\n" in error

    def test_not_read_back(self, pair, at, aws):
        """Who may write and not read the target cannot copy to it without being told."""
        target = at("names")
        copy(pair[0], target).ok()
        aws.faults.append(denied("BatchGetSecretValue", "GetSecretValue"))
        assert "or one that cannot be read, of A, db, dotted.name" in copy(pair[0], target).failed()


class TestVersions:
    """With ``--versions`` a name takes its older values and its pending one along."""

    def _filled(self, url, *values, pending=""):
        with opened(url) as store:
            at = store.put("A", values[0]).version
            for value in values[1:]:
                at = store.rotate("A", value, expected=at).version
            if pending:
                store.stage("A", pending)

    def _stages(self, url):
        with opened(url) as store:
            return {stage: secret.value for stage, secret in store.get_stages("A").items()}

    def _history(self, url):
        with opened(url) as store:
            return [
                store.get("A", version=entry.version).value
                for entry in store.history("A")
                if PENDING not in entry.stages
            ]

    @pytest.mark.parametrize("kinds", ring(*STAGED), ids=" to ".join)
    def test_stages(self, at, kinds):
        """The previous, the current and the pending value arrive as what they are."""
        source, target = map(at, kinds)
        self._filled(source, f"{MARK}-1", f"{MARK}-2", f"{MARK}-3", pending=f"{MARK}-4")
        assert "1 copied and read back, with" in copy(source, target, "--versions").ok().err
        assert self._stages(target) == {
            PREVIOUS: f"{MARK}-2",
            CURRENT: f"{MARK}-3",
            PENDING: f"{MARK}-4",
        }
        again = copy(source, target, "--versions").ok().err
        assert "0 copied and read back, with 0 values, 1 were there already" in again

    @pytest.mark.parametrize("kinds", ring("table", "names", "memory"), ids=" to ".join)
    def test_history(self, at, kinds):
        """Where versions are of a name, all of them arrive, in their order."""
        source, target = map(at, kinds)
        values = [f"{MARK}-{number}" for number in (1, 2, 1, 3)]
        self._filled(source, *values, pending=f"{MARK}-pending")
        assert "with 5 values" in copy(source, target, "--versions").ok().err
        assert self._history(target) == values

    def test_interrupted(self, at, aws):
        """An interrupted run is continued where it ended, not begun again."""
        source, target = at("memory"), at("table")
        values = [f"{MARK}-{number}" for number in range(4)]
        self._filled(source, *values)
        self._filled(target, *values[:2])
        assert "with 2 values" in copy(source, target, "--versions").ok().err
        assert self._history(target) == values

    @pytest.mark.parametrize(
        ("allowed", "said"),
        [
            (0, ""),
            (1, "; of A, 1 of 3 values were stored"),
            (2, "; of A, 2 of 3 values were stored"),
            (3, "; but stored before that: A"),
            (4, "; of B, 1 of 2 values were stored; but stored before that: A"),
            (5, "; but stored before that: A, B"),
        ],
    )
    def test_says_what_was_stored(self, at, aws, allowed, said):
        """An error in the middle names what is there already; a rerun writes the rest."""
        source, target = at("memory"), at("table")
        self._filled(source, f"{MARK}-1", f"{MARK}-2", pending=f"{MARK}-3")
        with opened(source) as store:
            for name in "BBC":
                store.put(name, f"{MARK}-{name}{len(store.list_secrets())}")
        puts = count(1)

        def fault(operation, _):
            refused = operation == "PutItem" and next(puts) > allowed
            return (400, "AccessDeniedException") if refused else None

        aws.faults.append(fault)
        error = copy(source, target, "--versions").failed().partition("\nhint: ")[0]
        assert error.partition(";")[2] == said.removeprefix(";")
        aws.faults.clear()
        copy(source, target, "--versions").ok()
        assert read(target) == read(source)

    def test_other_values(self, at):
        """What went another way is not continued, unless somebody says so."""
        source, target = at("memory"), at("table")
        self._filled(source, f"{MARK}-1", f"{MARK}-2")
        self._filled(target, f"{MARK}-x")
        assert "has another value" in copy(source, target, "--versions").failed()
        copy(source, target, "--versions", "--existing", "keep").ok()
        assert self._history(target) == [f"{MARK}-x"]
        copy(source, target, "--versions", "--existing", "overwrite").ok()
        assert self._history(target) == [f"{MARK}-x", f"{MARK}-1", f"{MARK}-2"]

    def test_another_pending_value(self, at):
        """Two rotations are under way: nobody but a person can decide."""
        source, target = at("memory"), at("table")
        self._filled(source, f"{MARK}-1", pending=f"{MARK}-2")
        self._filled(target, f"{MARK}-1", pending=f"{MARK}-x")
        assert "has another value" in copy(source, target, "--versions").failed()
        copy(source, target, "--versions", "--existing", "overwrite").ok()
        assert self._stages(target) == {CURRENT: f"{MARK}-1", PENDING: f"{MARK}-2"}

    @pytest.mark.parametrize("begun", [[], [f"{MARK}-1"]], ids=["absent", "begun"])
    def test_written_meanwhile(self, at, monkeypatch, begun):
        """What somebody writes between the comparison and the copy is not overwritten."""
        source, target = at("memory"), at("table")
        self._filled(source, f"{MARK}-1", f"{MARK}-2")
        if begun:
            self._filled(target, *begun)
        write = copy_verb.write_past

        def late(*args):
            self._filled(target, f"{MARK}-theirs")
            write(*args)

        monkeypatch.setattr(copy_verb, "write_past", late)
        assert "A in CredStash table one" in copy(source, target, "--versions").failed()
        assert self._history(target) == [*begun, f"{MARK}-theirs"]

    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_names_of_one_document(self, at, kind):
        """The previous value of one name outlives the copy of the next."""
        source, target = at("memory"), at(kind)
        self._filled(source, f"{MARK}-1", f"{MARK}-2")
        with opened(source) as store:
            store.put("B", f"{MARK}-b1")
            store.put("B", f"{MARK}-b2")
        assert (
            "2 copied and read back, with 4 values" in copy(source, target, "--versions").ok().err
        )
        assert self._stages(target) == {PREVIOUS: f"{MARK}-1", CURRENT: f"{MARK}-2"}

    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_more_names_of_one_document(self, at, kind):
        """The copy of one name, a new version for all of them, is no conflict with the next."""
        source, target = at("table"), at(kind)
        for number in "12":
            with opened(source) as store:
                store.put_many({name: f"{MARK}-{name}{number}" for name in "ABC"})
            assert "3 copied and read back" in copy(source, target, "--versions").ok().err
        assert read(target) == read(source)
        assert self._stages(target) == {PREVIOUS: f"{MARK}-A1", CURRENT: f"{MARK}-A2"}

    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_a_leaf_comes_with_its_tree(self, at, kind):
        """A name that is in the tree of another one is there once."""
        source, target = at("table"), at(kind)
        with opened(source) as store:
            store.put_many({"db": f'{{"user": "{MARK}"}}', "db.user": MARK})
        done = copy(source, target, "--versions").ok()
        assert "2 copied and read back, with 2 values, 0 were there already" in done.err
        assert read(target) == {"db": f'{{"user": "{MARK}"}}'}

    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_a_document_that_is_written_meanwhile(self, at, kind, monkeypatch):
        """Of a name that somebody else has written since the comparison it is a conflict."""
        source, target = at("table"), at(kind)
        for values in ({"A": f"{MARK}-1", "B": "1"}, {"A": f"{MARK}-2", "B": "2"}):
            with opened(source) as store:
                store.put_many(values)
            if values["B"] == "1":
                copy(source, target, "--versions").ok()
        put_stages = Document.put_stages

        def late(document, *args, dry_run):
            if not dry_run:
                with opened(target) as other:
                    other.put("B", "theirs")
            put_stages(document, *args, dry_run=dry_run)

        monkeypatch.setattr(Document, "put_stages", late)
        assert "error: A, B in " in copy(source, target, "--versions").failed()
        assert read(target) == {"A": f"{MARK}-1", "B": "theirs"}

    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_one_write_to_a_document(self, at, aws, kind):
        """However many values it is, a document gets one new version; Secrets Manager counts them.

        Values of other names, and those that are there already, stay what they are.
        """
        source, target = at("table"), at(kind)
        with opened(target) as store:
            store.put_many({"A": f"{MARK}-0", "THEIRS": f"{MARK}-t", "SAME": f"{MARK}-s1"})
            store.rotate("SAME", f"{MARK}-s2", expected=store.get("SAME").version)
        self._filled(source, *(f"{MARK}-{number}" for number in range(3)), pending=f"{MARK}-3")
        with opened(source) as store:
            for number in "12":
                store.put_many({f"N{each}": f"{MARK}-{number}" for each in range(20)})
                store.put("SAME", f"{MARK}-s{number}")
            store.stage("SAME", f"{MARK}-s3")
        with aws.counted() as sent:
            done = copy(source, target, "--versions", "--existing", "overwrite").ok()
        assert "22 copied and read back, with 44 values, 0 were there" in done.err
        assert sent["secretsmanager.PutSecretValue"] + sent["dynamodb.PutItem"] == 1
        assert self._stages(target) == {stage: f"{MARK}-{number}" for stage, number in IN_USE}
        with opened(target) as store:
            same = {stage: secret.value for stage, secret in store.get_stages("SAME").items()}
        assert same == {stage: f"{MARK}-s{number}" for stage, number in IN_USE}
        assert read(target)["THEIRS"] == f"{MARK}-t"
        again = copy(source, target, "--versions").ok().err
        assert "0 copied and read back, with 0 values, 22 were there already" in again

    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_another_pending_value_of_a_tree(self, at, kind):
        """What is pending inside of a tree is not overwritten by a pending tree."""
        source, target = at("table"), at(kind)
        with opened(source) as store:
            store.put("db", f'{{"user": "{MARK}"}}')
            store.stage("db", "{}")
        with opened(target) as store:
            store.put_many({"db": f'{{"user": "{MARK}"}}', "B": "1"})
            store.stage("db.user", f"{MARK}-2")
        error = copy(source, target, "--versions", "--existing", "overwrite").failed()
        assert "a value of db.user is pending already" in error

    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_the_previous_value_of_a_tree(self, at, kind):
        """It takes the place of what the document keeps of a leaf; the two are not mixed."""
        source, target = at("table"), at(kind)
        with opened(target) as store:
            store.put("db", '{"pw": "0", "user": "u"}')
            store.rotate("db.pw", "1", expected=store.get("db").version)
        with opened(source) as store:
            store.put("db", '{"pw": "2", "user": "v"}')
            store.put("db", '{"pw": "3", "user": "w"}')
        for copied in (1, 0):
            done = copy(source, target, "--versions", "--existing", "overwrite").ok()
            assert f"{copied} copied and read back" in done.err
            with opened(target) as store:
                found = {at: secret.value for at, secret in store.get_stages("db").items()}
            assert found == {
                PREVIOUS: '{"pw": "2", "user": "v"}',
                CURRENT: '{"pw": "3", "user": "w"}',
            }

    @pytest.mark.parametrize("host", ["new", "old"])
    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_the_previous_value_of_a_tree_with_the_leaf_that_is_kept(self, at, kind, host):
        """Not mixed either where what is kept of the leaf is what the tree is to have there."""
        source, target = at("table"), at(kind)
        with opened(target) as store:
            store.put("db", '{"host": "old", "pw": "0"}')
            store.rotate("db.pw", "1", expected=store.get("db").version)
        older = [f'{{"host": "{host}", "pw": "1"}}', '{"host": "new", "pw": "2"}']
        with opened(source) as store:
            for value in older:
                store.put("db", value)
        copy(source, target, "--versions", "--existing", "overwrite").ok()
        with opened(target) as store:
            store.put("B", "1")  # after which another document is the previous one
            found = store.get_stages("db")
        assert [found[stage].value for stage in (PREVIOUS, CURRENT)] == older

    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_what_is_kept_keeps_its_previous_value(self, at, kind):
        """And is not taken for an interrupted copy by the next run."""
        source, target = at("table"), at(kind)
        self._filled(source, f"{MARK}-2", f"{MARK}-1")
        with opened(target) as store:
            store.put("A", f"{MARK}-1")
            store.put("A", f"{MARK}-2")
        with opened(source) as store:
            store.put("B", MARK)
        for copied in (1, 0):
            done = copy(source, target, "--versions", "--existing", "keep").ok()
            assert f"{copied} copied" in done.err
            assert self._stages(target) == {PREVIOUS: f"{MARK}-1", CURRENT: f"{MARK}-2"}
        assert "has another value" in copy(source, target, "--versions").failed()

    @pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=str)
    def test_a_pending_value_of_the_tree_of_a_leaf(self, at, options):
        """Two rotations are under way; a dry run says so as well."""
        source, target = at("table"), at("document")
        with opened(source) as store:
            store.put("db.pw", "2")
            store.stage("db.pw", "1")
        with opened(target) as store:
            store.put("db", '{"y": "1"}')
            store.stage("db", '{"y": "2"}')
        done = copy(source, target, "--versions", *options)
        assert done.code == 1
        assert "a value of db is pending already" in done.err

    @pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=str)
    @pytest.mark.parametrize("stage", [PREVIOUS, PENDING])
    def test_two_older_values_of_a_leaf(self, at, stage, options):
        """A document has room for one of them, as for one current value; nothing is written."""
        source, target = at("table"), at("document")
        with opened(source) as store:
            if stage == PREVIOUS:
                store.put_many({"db": '{"user": "0"}', "db.user": "1"})
            store.put_many({"db": '{"user": "2"}', "db.user": "2"})
            if stage == PENDING:
                store.stage("db", '{"user": "3"}')
                store.stage("db.user", "4")
        done = copy(source, target, "--versions", *options)
        assert done.code == 1
        assert re.search(rf"there is no room for .*db.* as {stage}, with the other", done.err)
        assert read(target) == {}

    def test_one_pending_value_of_a_leaf(self, at):
        """Where the pending tree has the pending value of its leaf, it is there once."""
        source, target = at("table"), at("document")
        with opened(source) as store:
            store.put_many({"db": '{"user": "2"}', "db.user": "2"})
            store.stage("db", '{"user": "3"}')
            store.stage("db.user", "3")
        for copied in (2, 0):
            assert f"{copied} copied" in copy(source, target, "--versions").ok().err
        with opened(target) as store:
            assert store.get("db.user", version=PENDING).value == "3"
            store.promote("db")
        assert read(target) == {"db": '{"user": "3"}'}

    @pytest.mark.parametrize("kind", ["table document", "document"])
    def test_what_was_there_already_keeps_its_previous_value(self, at, kind):
        """Though the document before is now another."""
        source, target = at("table"), at(kind)
        with opened(target) as store:
            store.put_many({"A": f"{MARK}-1", "THEIRS": "1"})
            store.put_many({"A": f"{MARK}-2", "THEIRS": "2"})
        self._filled(source, f"{MARK}-1", f"{MARK}-2")
        with opened(source) as store:
            store.put("B", MARK)
        assert (
            "1 copied and read back, with 1 values" in copy(source, target, "--versions").ok().err
        )
        assert self._stages(target) == {PREVIOUS: f"{MARK}-1", CURRENT: f"{MARK}-2"}

    @pytest.mark.parametrize("kind", ["table", "document"])
    def test_an_empty_pending_value(self, at, kind):
        """It is one like any other."""
        source, target = at("memory"), at(kind)
        with opened(source) as store:
            store.put("A", "1")
            store.stage("A", "")
        with opened(target) as store:
            store.put("A", "1")
        for copied in (1, 0):
            assert f"{copied} copied" in copy(source, target, "--versions").ok().err
        assert self._stages(target) == {CURRENT: "1", PENDING: ""}

    @pytest.mark.parametrize("interrupted", [False, True])
    def test_a_pending_value_that_is_not_replaced(self, at, aws, monkeypatch, caplog, interrupted):
        """Of two steps only the first was taken: it is said what that did."""
        source, target = at("memory"), at("names")
        self._filled(source, "1", pending=f"{MARK}-new")
        self._filled(target, "1", pending=f"{MARK}-old")
        aws.faults.append(denied("PutSecretValue"))
        if interrupted:
            monkeypatch.setattr(SecretsManagerStore, "stage", interrupt)
        done = copy(source, target, "--versions", "--existing", "overwrite")
        assert done.code == (130 if interrupted else 1)
        said = caplog.text if interrupted else done.err
        assert "; the value of A that was pending there is dropped" in said
        assert self._stages(target) == {CURRENT: "1"}

    def test_a_document_may_be_read_with_one_permission(self, at, aws):
        """GetSecretValue, as a site's role has it."""
        source, target = at("document"), at("memory")
        with opened(source) as store:
            store.put("A", MARK)
        aws.faults.append(denied("ListSecretVersionIds", "DescribeSecret", "ListSecrets"))
        copy(source, target, "--versions").ok()
        assert read(target) == {"A": MARK}

    def test_a_dry_run_counts_values(self, at):
        """The table shows whether current values differ; beside it is what would be written."""
        source, target = at("memory"), at("table")
        self._filled(source, f"{MARK}-1", f"{MARK}-2", pending=f"{MARK}-3")
        self._filled(target, f"{MARK}-1", f"{MARK}-2")
        with opened(source) as store:
            store.put_many({"B": "1", "C": "1"})
            store.put("B", "2")
        with opened(target) as store:
            store.put("C", "1")
        done = copy(source, target, "--versions", "--dry-run").ok()
        assert (
            done.err
            == "would be copied: A (1 value), B (2 values)\nnothing was written: --dry-run\n"
        )
        assert "with 3 values, 1 were there already" in copy(source, target, "--versions").ok().err
        assert "would be" not in copy(source, target, "--versions", "--dry-run").ok().err

    def test_interrupted_within_a_name(self, at, monkeypatch, caplog):
        """After Ctrl-C the log says how many of its values are stored."""
        source, target = at("memory"), at("table")
        self._filled(source, f"{MARK}-1", f"{MARK}-2", f"{MARK}-3")
        monkeypatch.setattr(CredStashStore, "rotate", interrupt)
        assert copy(source, target, "--versions").code == 130
        assert "of A, 1 of 3 values were stored" in caplog.text
        assert MARK not in caplog.text

    @pytest.mark.parametrize("kind", RAW)
    def test_a_document_before_that_does_not_open(self, at, kind):
        """What it had is left out with a warning and exit code 1, unless all is kept apart."""
        source, target = at(kind), at("names")
        kept = {RESERVED: {PREVIOUS: {"A": f"{MARK}-1"}}}
        for document, left_out in (
            ({"A": f"{MARK}-2", **kept}, 0),
            ({"A": f"{MARK}-2", "B": MARK, **kept}, 1),
        ):
            with opened(RAW[kind]) as store:
                store.put("notes", f"{MARK}, no JSON")
                store.put("notes", json.dumps(document))
            for options in (["--dry-run"], []):
                done = copy(source, target, "--versions", *options)
                assert done.code == left_out
                assert done.err.count("left out: what the document before had of B: ") == left_out
        assert self._stages(target) == {PREVIOUS: f"{MARK}-1", CURRENT: f"{MARK}-2"}
        assert read(target)["B"] == MARK

    @pytest.mark.parametrize("kind", ["names", "document"])
    def test_an_older_value_that_does_not_open(self, at, kind):
        """It is left out with a warning and exit code 1; it keeps nothing else back."""
        source, target = at("table"), at(kind)
        with opened(f"{source}&context.env=former") as store:
            store.put("A", f"{MARK}-1")
        with opened(source) as store:
            store.put("A", f"{MARK}-2")
            store.put("B", f"{MARK}-b")
        for options in (["--dry-run"], []):
            done = copy(source, target, "--versions", *options)
            assert done.code == 1
            assert "warning: left out: A version 0000000000000000001 in " in done.err
        assert "2 copied and read back, with 2 values" in done.err
        assert read(target) == {"A": f"{MARK}-2", "B": f"{MARK}-b"}

    def test_a_current_value_that_does_not_open(self, at):
        """It is an error, and nothing is written."""
        source, target = at("table"), at("names")
        with opened(source) as store:
            store.put_many({"A": f"{MARK}-1", "B": f"{MARK}-b"})
        with opened(f"{source}&context.env=other") as store:
            store.put("A", f"{MARK}-2")
        copy(source, target, "--versions").failed()
        assert read(target) == {}

    def test_rolled_back(self):
        """What is current comes last, where a rollback moved it to an older version.

        Secrets Manager lists versions by their date; the embedded one gives them all the same.
        """

        class ByDate(LocMemStore):
            def history(self, name):
                return super().history(name)[::-1]

        with ByDate(name="by date") as store:
            store.put("A", f"{MARK}-2")
            store.put("A", f"{MARK}-1")
            values = read_past(store, "A", in_use=False).values
        assert values == [f"{MARK}-2", f"{MARK}-1"]

    def test_read_back(self, at, monkeypatch):
        """What did not arrive is found out."""
        source, target = at("memory"), at("table")
        self._filled(source, f"{MARK}-1", f"{MARK}-2")
        write = copy_verb.write_past
        monkeypatch.setattr(
            copy_verb,
            "write_past",
            lambda store, name, values, *rest: write(store, name, values[-1:], *rest),
        )
        assert "not the same when read back: A" in copy(source, target, "--versions").failed()

    @pytest.mark.parametrize("kinds", [("table", "file"), ("file", "table")], ids=" to ".join)
    def test_where_there_are_none(self, at, kinds):
        """A store with one value of each name says so, before anything is read."""
        source, target = map(at, kinds)
        error = copy(source, target, "--versions").failed()
        assert "has one value of each name\nhint: leave --versions out" in error


def test_is_read_back_from_the_service(pair, aws):
    """What is checked is what the target gives, not what was sent to it."""
    source, target = pair[1], pair[0]
    with opened(source) as store:
        store.put("NEW", MARK)
    with aws.counted() as sent:
        copy(source, target).ok()
    assert sent["dynamodb.Query"] >= 2
    assert read(target)["NEW"] == MARK
