"""What `secrets run` hands on is used if it is that beyond doubt; else the store is asked."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import time

import pytest

from django_kms_secrets import SecretNotFound, SecretsError, SecretStr, load, snapshot
from django_kms_secrets.backends.locmem import LocMemStore
from django_kms_secrets.redaction import redact

# Any store will do: it is what was handed on that is read, and not the store.
URL = "locmem://"
HANDED, STORED = "handed-on-value", "value-in-the-store"
OLD = "handed-on-previous"
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def handed(place="the store of the run", names=None, **stages):
    values = {"A": SecretStr(HANDED), "TREE": SecretStr('{"port": 1234567}')}
    return snapshot.Handed(place, names, values, stages, until=0)


@pytest.fixture(autouse=True)
def _nothing_said():
    """What a process says once, each test may say."""
    snapshot._warn.cache_clear()


@pytest.fixture(autouse=True)
def store():
    store = LocMemStore()
    store.put_many({"A": STORED})
    return store


@pytest.fixture
def give(monkeypatch):
    """A function that hands something on to this process; it gives the descriptor."""
    opened = []

    def place(where):
        monkeypatch.setenv(snapshot.VARIABLE, where)
        opened.append(int(where.split(":")[1]))
        return opened[-1]

    def given(one=None, *, source=URL, age=0.0, max_age=300.0):
        found = {snapshot.key_of(source): one or handed()}
        return place(snapshot.write(found, began=snapshot.now() - age, max_age=max_age))

    def given_raw(content, *, seals=SEALS, size=None):
        fd = os.memfd_create("other", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, content)
        if size:
            os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        return place(f"{os.getpid()}:{fd}:{os.fstat(fd).st_ino}")

    given.raw = given_raw
    yield given
    for fd in opened:
        os.close(fd)


def found():
    """Where the value came from."""
    return str(load(URL)["A"])


class TestWhatIsUsed:
    def test_without_one(self):
        """Where nothing was handed on, the store is asked."""
        assert found() == STORED

    def test_handed_on(self, give):
        """What was handed on is the value, masked and hidden as if it had been fetched."""
        give()
        secrets = load(URL)
        assert secrets["A"] == HANDED
        assert isinstance(secrets["A"], SecretStr)
        assert HANDED not in redact(f"the log says {HANDED}")
        assert secrets["TREE.port"] == "1234567"
        assert secrets.place == "the store of the run"

    def test_another_configuration(self, give):
        """It is for the configuration that it was fetched for, and no other."""
        give(source="locmem://other")
        assert found() == STORED
        give(source={"BACKEND": "x", "NAMES": ["A"]})
        assert found() == STORED

    def test_a_dict(self, give):
        """The order of its keys is of no importance, and its names are those that are fetched."""
        source = {
            "BACKEND": "django_kms_secrets.backends.locmem.LocMemStore",
            "NAMES": ["A", "B"],
            "OPTIONS": {"name": "default"},
        }
        give(handed(names=("A", "B")), source=source)
        secrets = load(dict(reversed(source.items())))
        assert secrets["A"] == HANDED
        with pytest.raises(SecretNotFound, match="the store of the run lacks B"):
            secrets["B"]
        with pytest.raises(SecretNotFound, match="C is not among NAMES"):
            secrets["C"]

    def test_a_dict_that_changes(self, give):
        """What the settings do with their dict after load() changes nothing."""
        source = {
            "BACKEND": "django_kms_secrets.backends.locmem.LocMemStore",
            "OPTIONS": {"name": "default"},
        }
        give(source=source)
        secrets = load(source)
        source["OPTIONS"]["name"] = "another"
        assert secrets.refresh() >= {"A"}
        assert secrets["A"] == STORED

    def test_the_variable_for_the_store(self, give, monkeypatch):
        """load() alone is the URL in the environment."""
        give()
        monkeypatch.setenv("KMS_SECRETS_URL", URL)
        assert load()["A"] == HANDED

    def test_layers(self, give, store):
        """What one layer was given is no matter of the other."""
        give()
        LocMemStore(name="app").put("A", "of the app")
        assert (load(URL) | load("locmem://app"))["A"] == "of the app"
        assert (load("locmem://app") | load(URL))["A"] == HANDED

    def test_stages(self, give):
        """Fallbacks come with it, for the names that the settings ask them of."""
        give(handed(A={"CURRENT": SecretStr(HANDED), "PREVIOUS": SecretStr(OLD)}))
        secrets = load(URL)
        assert secrets.fallbacks("A") == [OLD]
        assert secrets.previous("A") == OLD
        assert OLD not in redact(f"the log says {OLD}")

    def test_stages_that_are_not_in_it(self, give):
        """The fallbacks of other names are asked of the store."""
        give()
        secrets = load(URL)
        assert (secrets["A"], secrets.fallbacks("A")) == (HANDED, [STORED])

    def test_refresh_asks_the_store(self, give):
        """Who wants what is there now gets it: of all names, of one, and of its fallbacks."""
        give(handed(A={"CURRENT": SecretStr(HANDED), "PREVIOUS": SecretStr(OLD)}))
        secrets = load(URL)
        assert secrets["A"] == HANDED
        assert secrets.refresh("A") == {"A"}
        assert (secrets["A"], secrets.fallbacks("A")) == (STORED, [])
        secrets = load(URL)
        assert "A" in secrets.refresh() or secrets["A"] == STORED
        assert secrets["A"] == STORED
        assert secrets.place == "memory store default"

    def test_refresh_fails(self, give, monkeypatch):
        """Then all stays as it was: values, fallbacks that nobody has asked for yet, and place."""

        def fails(*args):
            raise SecretsError("it does not answer")

        give(handed(A={"CURRENT": SecretStr(HANDED), "PREVIOUS": SecretStr(OLD)}))
        secrets, unread = load(URL), load(URL)
        assert secrets["A"] == HANDED
        monkeypatch.setattr(LocMemStore, "get_many", fails)
        for names in ([], ["A"]):
            for one in (secrets, unread):
                with pytest.raises(SecretsError, match="does not answer"):
                    one.refresh(*names)
        for one in (secrets, unread):
            assert one.place == "the store of the run"
            assert (one["A"], one.fallbacks("A")) == (HANDED, [OLD])

    def test_the_engine_of_a_database_asks_the_store(self, give, store):
        """A password that the database refuses is read anew."""
        store.put("DB", "postgres://app:new-password@db/app")
        one = handed()
        one.values["DB"] = SecretStr("postgres://app:old-password@db/app")
        give(one)
        entry = load(URL).database("DB")
        assert str(entry["PASSWORD"]) == "old-password"

        def open_with(credentials):
            if credentials.password != "new-password":
                raise PermissionError
            return "connected"

        first = entry["SECRET"].connect(
            open_with,
            type("First", (), {"user": "app", "password": "old-password"})(),
            lambda error: isinstance(error, PermissionError),
        )
        assert first == "connected"


class TestAge:
    def test_up_to_max_age(self, give):
        """It is used for as long as `secrets run` was told, and not after."""
        give(age=299)
        assert found() == HANDED
        give(age=301)
        assert found() == STORED
        give(age=0, max_age=0)
        assert found() == STORED

    def test_it_is_not_of_the_future(self, give):
        """A clock that is another one (a namespace of its own) makes it no younger."""
        give(age=-10)
        assert found() == STORED

    def test_age_counts_when_it_is_used(self, give, monkeypatch):
        """Who loads early and reads late is told what the store has then."""
        give(handed(A={"CURRENT": SecretStr(HANDED), "PREVIOUS": SecretStr(OLD)}))
        early, read = load(URL), load(URL)
        assert read["A"] == HANDED
        later = snapshot.now() + 301
        monkeypatch.setattr("time.clock_gettime", lambda clock: later)
        assert early["A"] == STORED
        assert read.fallbacks("A") == [STORED]

    def test_the_clock_on_the_wall_is_not_asked(self, give, monkeypatch):
        """The clock is one that nobody sets, and that goes on while the machine sleeps."""
        asked, read = [], time.clock_gettime
        monkeypatch.setattr("time.clock_gettime", lambda clock: asked.append(clock) or read(clock))
        give()
        assert found() == HANDED
        assert set(asked) == {time.CLOCK_BOOTTIME}


class TestSurroundings:
    @pytest.mark.parametrize(
        "name",
        [
            "AWS_PROFILE",
            "AWS_DEFAULT_REGION",
            "AWS_ENDPOINT_URL_KMS",
            "AWS_ROLE_ARN",
            "CREDSTASH_DEFAULT_TABLE",
            "BOTO_CONFIG",
            "HOME",
        ],
    )
    def test_another_account_or_region(self, give, monkeypatch, name):
        """Where the same configuration would mean another store, that one is asked."""
        give()
        monkeypatch.setenv(name, "other")
        assert found() == STORED

    @pytest.mark.parametrize(
        "name", ["AWS_EXECUTION_ENV", "AWS_S3_SIGNATURE", "AWS_STORAGE_BUCKET_NAME", "PATH"]
    )
    def test_what_is_about_something_else(self, give, monkeypatch, name):
        """What has no say in what is read may be another one."""
        give()
        monkeypatch.setenv(name, "other")
        assert found() == HANDED

    def test_credentials(self, give, monkeypatch):
        """Who has given its credentials up needs none; those of another key may be anybody's."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAONE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "one")
        give()
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "renewed")
        assert found() == HANDED
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert found() == HANDED
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATWO")
        assert found() == STORED


def _document(**changes):
    one = {"place": "p", "names": None, "values": {"A": HANDED}, "stages": {}}
    document = {
        "format": 1,
        "began": snapshot.now(),
        "max_age": 300,
        "surroundings": snapshot.surroundings(),
        "stores": {snapshot.key_of(URL): one},
    }
    one.update({key: changes.pop(key) for key in list(changes) if key in one})
    return json.dumps({**document, **changes}).encode()


class TestStrangers:
    """What is in the place of the file; none of it may stop a site, or be read for a while."""

    @pytest.mark.parametrize(
        "text",
        [
            "x",
            "1",
            "1:2",
            "1:2:3:4",
            "-1:10:5",
            "1:-1:5",
            "1: 10:5",
            "1:10:5\n",
            "٣:١٠:٥",
            f"1:{'9' * 40}:5",
            f"{'9' * 40}:10:5",
            "999999999:999999999:5",
            "0:0:0",
        ],
    )
    def test_the_variable(self, monkeypatch, text):
        """A variable that names no file of ours."""
        monkeypatch.setenv(snapshot.VARIABLE, text)
        assert found() == STORED

    def test_it_is_gone(self, give, monkeypatch):
        """The process has ended, or closed it."""
        fd = give()
        inode = os.fstat(fd).st_ino
        monkeypatch.setenv(snapshot.VARIABLE, f"999999999:{fd + 50}:{inode}")
        assert found() == STORED
        monkeypatch.setenv(snapshot.VARIABLE, f"{os.getpid()}:{fd + 50}:{inode}")
        assert found() == STORED

    def test_another_file_under_the_descriptor(self, give, monkeypatch):
        """The number was used again, for what another `secrets run` has written."""
        fd = give()
        where = os.environ[snapshot.VARIABLE]
        os.dup2(give.raw(_document()), fd)
        monkeypatch.setenv(snapshot.VARIABLE, where)
        assert found() == STORED

    def test_a_file_on_a_disk_by_its_inode(self, give, monkeypatch, tmp_path):
        """It has no seals, so it is not ours, whatever its number."""
        path = tmp_path / "other"
        path.write_bytes(_document())
        with path.open("rb") as other:
            inode = os.fstat(other.fileno()).st_ino
            where = f"{os.getpid()}:{other.fileno()}:{inode}"
            monkeypatch.setenv(snapshot.VARIABLE, where)
            assert found() == STORED

    @pytest.mark.parametrize("left_out", ["SEAL", "SHRINK", "GROW", "WRITE"])
    def test_not_sealed(self, give, left_out):
        """What others could still write to is not used."""
        give.raw(_document(), seals=SEALS & ~getattr(fcntl, f"F_SEAL_{left_out}"))
        assert found() == STORED

    def test_sealed(self, give):
        """The same document is used where it has all of them (the tests above and below rely
        on that).
        """
        give.raw(_document())
        assert found() == HANDED

    def test_of_somebody_else(self, give, monkeypatch):
        """Another user's file is not used, here or in another process; root's is."""
        fd = give()
        if os.geteuid() == 0:
            os.fchown(fd, 12345, -1)
        else:
            monkeypatch.setattr("os.geteuid", lambda: 12345)
        assert found() == STORED
        if os.geteuid() == 0:
            monkeypatch.setattr("os.geteuid", lambda: 12345)
            assert found() == HANDED
            os.fchown(fd, 0, -1)
            assert found() == HANDED

    def test_a_pipe(self, give, monkeypatch, tmp_path):
        """What is no file is not opened: a named pipe would wait, and a device do something."""

        def opens(path, *args):
            raise AssertionError(path)

        fd = give()
        os.mkfifo(tmp_path / "pipe")
        pipe = os.open(tmp_path / "pipe", os.O_RDWR)
        os.dup2(pipe, fd)
        inode = os.fstat(pipe).st_ino
        os.close(pipe)
        monkeypatch.setenv(snapshot.VARIABLE, f"{os.getpid()}:{fd}:{inode}")
        monkeypatch.setattr("os.open", opens)
        assert found() == STORED

    def test_too_large(self, give):
        """A size that no memory has is not read."""
        give.raw(_document(), size=1 << 40)
        assert found() == STORED

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"not JSON",
            b"\xff\xfe",
            b"[]",
            b"null",
            b"[" * 100_000,
            b"9" * 10_000,
            b'{"format": 1}',
        ],
    )
    def test_no_document(self, give, content):
        """A file of another content."""
        give.raw(content)
        assert found() == STORED

    @pytest.mark.parametrize(
        "changes",
        [
            {"format": 2},
            {"began": None},
            {"began": "0"},
            {"began": float("nan")},
            {"max_age": "300"},
            {"surroundings": None},
            {"surroundings": {}},
            {"stores": None},
            {"stores": []},
            {"stores": {}},
            {"stores": {snapshot.key_of(URL): 1}},
            {"names": 1},
            {"values": ["A"]},
            {"values": {"A": 1}},
            {"values": {"A": None}},
            {"values": {"A": {"b": "c"}}},
            {"stages": 1},
            {"stages": {"A": 1}},
            {"stages": {"A": {"CURRENT": 1}}},
        ],
        ids=str,
    )
    def test_another_document(self, give, changes):
        """A document of another form."""
        give.raw(_document(**changes))
        assert found() == STORED

    def test_the_log_says_why(self, give, caplog):
        """It has no value, and is a warning once in a process; getting old is usual."""
        caplog.set_level("INFO", "django_kms_secrets")
        give(age=301)
        assert found() == STORED
        give.raw(HANDED.encode())
        assert found() == STORED
        assert found() == STORED
        words = "what `secrets run` handed on is not used: "
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("INFO", f"{words}it is older than 300.0 s"),
            ("WARNING", f"{words}it is not of the form that `secrets run` writes"),
        ]


class TestFile:
    def test_nobody_writes_to_it(self, give):
        """It is sealed, and only its owner may read it."""
        fd = give()
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o400
        for change in (
            lambda: os.pwrite(fd, b"x", 0),
            lambda: os.ftruncate(fd, 0),
            lambda: os.ftruncate(fd, 1 << 20),
            lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0),
        ):
            with pytest.raises(PermissionError):
                change()

    def test_it_cannot_be_run(self, give):
        """Where the kernel knows (Linux 6.3), it can never be made a program."""
        fd = give()
        if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 3):
            with pytest.raises(PermissionError):
                os.fchmod(fd, 0o500)

    def test_out_of_the_way(self, give):
        """Its number is none that a script may redirect, and other programs inherit it."""
        fd = give()
        assert fd >= 10
        assert os.get_inheritable(fd)

    def test_the_offset_is_not_moved(self, give):
        """All that inherited it share the offset, and read at the same time."""
        fd = give()
        before = os.lseek(fd, 0, os.SEEK_CUR)
        assert found() == HANDED
        assert os.lseek(fd, 0, os.SEEK_CUR) == before

    def test_too_large_to_hand_on(self, monkeypatch):
        """What nobody would read is an error."""
        monkeypatch.setattr(snapshot, "MAX_BYTES", 100)
        with pytest.raises(SecretsError, match="more than"):
            snapshot.write({"x": handed()}, began=snapshot.now(), max_age=1)

    def test_options_that_are_no_text(self):
        """A configuration with an object in it has no text, and is not handed on."""
        assert snapshot.key_of({"OPTIONS": {"x": object()}}) is None
        # The masked repr of two secrets is the same, and they are not.
        one, two = (snapshot.key_of({"OPTIONS": {"x": SecretStr(text)}}) for text in "ab")
        assert one != two


READS = """
import sys
from django_kms_secrets import load
before = set(sys.modules)
value = str(load("credstash://credential-store")["A"])
print(value, sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("close_fds", [True, False])
def test_reading_imports_nothing(give, close_fds):
    """A process that was handed its secrets pays for no store, whether it inherited the file or
    its parent closed the descriptor.
    """
    give(source="credstash://credential-store")
    done = subprocess.run(
        [sys.executable, "-c", READS],
        capture_output=True,
        text=True,
        check=True,
        close_fds=close_fds,
    )
    assert done.stdout == f"{HANDED} []\n"
