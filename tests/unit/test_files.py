"""Files that hold secrets: private from the first moment, and the old or the new, never a part."""

from __future__ import annotations

import errno
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from django_kms_secrets import files
from django_kms_secrets.exceptions import SecretsError, StoreUnavailable
from django_kms_secrets.files import (
    is_there,
    locked,
    make_directory,
    read_text,
    write_private,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD = "old content\n"
NEW = "planted-value\n"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def run(program: str, *args: object, user: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, whose limits, umask and user are its own."""
    # What it imports is imported before it loses the right to read it.
    become = f"import os, pwd; os.setuid(pwd.getpwnam({user!r}).pw_uid)\n" if user else ""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import encodings.idna, resource, signal, sys\n"
            "from django_kms_secrets.exceptions import SecretsError\n"
            "from django_kms_secrets.files import is_there, read_text, write_private\n"
            "from pathlib import Path\n"
            f"{become}{textwrap.dedent(program)}",
            *map(str, args),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or "nobody" not in {entry.pw_name for entry in pwd.getpwall()},
    reason="only root can become somebody else",
)


# write_private


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory that anybody may go through; pytest's own are for one user only."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(params=["unnamed", "named"])
def draft(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, directory: Path) -> str:
    """Whether the draft has a name: where the system or the file system knows no other files."""
    if request.param == "unnamed":
        try:
            os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY))
        except OSError:
            return "named"
    else:
        monkeypatch.delattr(os, "O_TMPFILE")
    return request.param


@pytest.mark.usefixtures("draft")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
@pytest.mark.parametrize("existing", [None, 0o644, 0o000])
def test_a_written_file_is_for_its_owner_only_whatever_the_umask(directory, umask, existing):
    path = directory / "secrets.env"
    if existing is not None:
        path.write_text(OLD)
        path.chmod(existing)
    before = os.umask(umask)
    try:
        write_private(path, NEW)
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert path.read_text() == NEW
    assert [*directory.iterdir()] == [path]


def test_the_draft_is_private_and_has_no_name_before_it_is_whole(directory, monkeypatch, draft):
    seen = []

    def look(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            named = [(mode(path), path.read_text()) for path in directory.iterdir()]
            seen.append((stat.S_IMODE(found.st_mode), found.st_size, named))

    monkeypatch.setattr(os, "fsync", look)
    before = os.umask(0)
    try:
        write_private(directory / "secrets.env", NEW)
    finally:
        os.umask(before)
    named = [(0o600, NEW)] if draft == "named" else []
    assert seen == [(0o600, len(NEW), named)], "no file of that name yet"


def test_without_proc_the_draft_has_a_name_from_the_beginning(directory, monkeypatch):
    def link(*args: object, **kwargs: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "no /proc")

    monkeypatch.setattr(os, "link", link)
    write_private(directory / "secrets.env", NEW)
    assert read_text(directory / "secrets.env") == NEW
    assert len([*directory.iterdir()]) == 1


def test_the_content_reaches_the_disk_before_it_takes_the_name(directory, monkeypatch):
    steps = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        steps.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_private(directory / "secrets.env", NEW)
    assert steps == ["file", "name", "directory"]


@pytest.mark.parametrize("text", ["", "a\r\nb\rc\n", "pässwörd-中文-🔑", "\x85\u2028\ufeff"])
def test_every_text_is_written_as_it_is(directory, text):
    path = directory / "secrets.env"
    write_private(path, text)
    assert path.read_bytes() == text.encode("utf-8")
    assert read_text(path) == text


def test_a_symbolic_link_is_refused_and_left_alone(directory):
    target = directory / "target"
    target.write_text(OLD)
    link = directory / "secrets.env"
    for where in (target, directory / "nowhere"):
        link.symlink_to(where)
        with pytest.raises(SecretsError, match="is a symbolic link or not a regular file"):
            write_private(link, NEW)
        assert link.is_symlink()
        link.unlink()
    assert target.read_text() == OLD


def test_a_directory_is_refused(directory):
    with pytest.raises(SecretsError, match="is a symbolic link or not a regular file") as caught:
        write_private(directory, NEW)
    assert caught.value.hint == "give the path of the file itself"


def test_a_named_pipe_is_refused_and_not_waited_for(directory):
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SecretsError, match="is a symbolic link or not a regular file"):
        write_private(pipe, NEW)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_refused():
    with pytest.raises(SecretsError, match="/dev/null is a symbolic link or not a regular file"):
        write_private("/dev/null", NEW)


def test_a_directory_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(SecretsError, match=r"cannot write .*: No such file") as caught:
        write_private(tmp_path / "none" / "secrets.env", NEW)
    assert caught.value.hint == "check the directory"
    assert caught.value.__context__ is None


@pytest.mark.usefixtures("draft")
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_half_way_leaves_the_old_content_and_no_draft(directory, monkeypatch, step):
    path = directory / "secrets.env"
    path.write_text(OLD)

    def fail(*args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(SecretsError, match=r"cannot write .*: Input/output error") as caught:
        write_private(path, NEW)
    assert path.read_text() == OLD
    assert [*directory.iterdir()] == [path]
    assert caught.value.__context__ is None


@pytest.mark.usefixtures("draft")
def test_an_interruption_half_way_leaves_the_old_content_and_no_draft(directory, monkeypatch):
    path = directory / "secrets.env"
    path.write_text(OLD)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_private(path, NEW)
    assert path.read_text() == OLD
    assert [*directory.iterdir()] == [path]


def test_a_full_disk_leaves_the_old_content_and_no_draft(directory):
    """A limit on the size of files is a disk that is full after 1,000 bytes."""
    path = directory / "secrets.env"
    path.write_text(OLD)
    done = run(
        """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_private(sys.argv[1], "planted-value" * 100_000)
        except SecretsError as exc:
            print(exc)
        """,
        path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"cannot write {path}: File too large\nhint: check the directory\n"
    assert path.read_text() == OLD
    assert [*directory.iterdir()] == [path]


WRITE_AS_NOBODY = """
    try:
        write_private(sys.argv[1], "planted-value")
    except SecretsError as exc:
        print(exc)
"""


@needs_root
def test_a_directory_that_may_not_be_written_leaves_the_old_content(directory):
    path = directory / "secrets.env"
    path.write_text(OLD)
    done = run(WRITE_AS_NOBODY, path, user="nobody")
    assert done.stdout == f"cannot write {path}: Permission denied\nhint: check the directory\n"
    assert path.read_text() == OLD
    assert [*directory.iterdir()] == [path]


@needs_root
def test_a_directory_that_may_not_be_entered_is_the_same_error(directory):
    path = directory / "secrets.env"
    directory.chmod(0o700)
    done = run(WRITE_AS_NOBODY, path, user="nobody")
    assert done.stdout == f"cannot write {path}: Permission denied\nhint: check the directory\n"


# read_text


def test_line_ends_are_read_as_they_are(tmp_path):
    path = tmp_path / "x.env"
    path.write_bytes(b"a\r\nb\rc\n")
    assert read_text(path) == "a\r\nb\rc\n"


def test_a_file_of_the_largest_size_is_read_and_one_more_byte_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    path = tmp_path / "x.env"
    path.write_bytes(b"x" * 1000)
    assert len(read_text(path)) == 1000
    path.write_bytes(b"planted-value" * 100)
    with pytest.raises(SecretsError, match="is larger than 1,000 bytes") as caught:
        read_text(path)
    assert "planted-value" not in str(caught.value)


def test_the_largest_size_is_sixteen_mebibytes():
    assert files.MAX_BYTES == 16 * 1024 * 1024


def test_a_file_without_end_is_read_no_further_than_the_limit(monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    tracemalloc.start()
    try:
        with pytest.raises(SecretsError, match="/dev/zero is larger than 1,000 bytes"):
            read_text("/dev/zero")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1_000_000


@pytest.mark.parametrize("data", [b"planted-value\xff", b"\xc3", b"\xed\xa0\x80", b"\xff\xfeA\0"])
def test_what_is_not_utf8_is_refused_by_its_place(tmp_path, data):
    path = tmp_path / "x.env"
    path.write_bytes(data)
    with pytest.raises(SecretsError, match=r"x.env is not UTF-8 text \(byte \d+\)") as caught:
        read_text(path)
    assert caught.value.hint == "store binary values as base64"
    assert caught.value.__context__ is None, "the codec's error carries the bytes"


def test_a_file_that_is_not_there_and_a_directory_are_errors_with_a_hint(tmp_path):
    for path, reason in ((tmp_path / "none.env", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(SecretsError, match=f"cannot read {path}: {reason}") as caught:
            read_text(path)
        assert caught.value.hint == "check the path and its permissions"
        assert caught.value.__context__ is None


@needs_root
def test_a_file_that_may_not_be_read_is_an_error(directory):
    path = directory / "secrets.env"
    write_private(path, NEW)
    done = run(
        """
        try:
            read_text(sys.argv[1])
        except SecretsError as exc:
            print(exc.message)
        """,
        path,
        user="nobody",
    )
    assert done.stdout == f"cannot read {path}: Permission denied\n"


def test_a_path_with_a_nul_is_an_error_wherever_it_is_used(tmp_path):
    """A URL can have one, as %00; the system calls refuse it by a ValueError."""
    path = tmp_path / "a\0b" / "secrets.env"

    def lock() -> None:
        with locked(path):
            pytest.fail("it was locked")

    for use in (
        lambda: read_text(path),
        lambda: write_private(path, NEW),
        lambda: make_directory(path),
        lock,
    ):
        with pytest.raises(SecretsError) as caught:
            use()
        assert caught.value.__context__ is None
    assert [*tmp_path.iterdir()] == [tmp_path / "home"]


def test_half_of_a_character_is_an_error_that_does_not_show_the_text(tmp_path):
    """The codec's error would carry all of it."""
    path = tmp_path / "secrets.env"
    with pytest.raises(SecretsError, match=f"cannot write {path}: UnicodeEncodeError") as caught:
        write_private(path, "planted-value\ud800")
    assert caught.value.__context__ is None
    assert not path.exists()


# locked


def test_only_one_writer_at_a_time_holds_the_lock(tmp_path):
    entered, inside = threading.Event(), []

    def second() -> None:
        entered.set()
        with locked(tmp_path):
            inside.append("second")

    with locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait(10)
        thread.join(0.05)  # nothing will happen, however long this waits
        inside.append("first")
    thread.join(10)
    assert inside == ["first", "second"]


def test_the_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path):
        pass


def test_a_process_that_was_forked_meanwhile_keeps_no_lock(tmp_path):
    """As a server's worker, while another thread of the server writes."""
    code = """
import os, signal, sys
from pathlib import Path
from django_kms_secrets import files
files.LOCK_SECONDS = 0.5
with files.locked(Path(sys.argv[1])):
    child = os.fork()
    if not child:
        signal.pause()
try:
    with files.locked(Path(sys.argv[1])):
        print("free")
finally:
    os.kill(child, signal.SIGKILL)
"""
    argv = [sys.executable, "-c", code, tmp_path]
    assert subprocess.run(argv, capture_output=True, text=True).stdout == "free\n"


def test_a_lock_on_a_file_makes_it_for_its_owner_alone(tmp_path):
    path = tmp_path / "lock"
    with locked(path, os.O_RDWR | os.O_CREAT):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_lock_that_is_never_given_back_is_an_error_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.1)
    with (
        locked(tmp_path),
        pytest.raises(StoreUnavailable, match=r"has kept .* locked for 0.1 s") as caught,
        locked(tmp_path),
    ):
        pass
    assert "fuser" in caught.value.hint
    with locked(tmp_path):
        pass


def test_a_directory_that_is_not_there_cannot_be_locked(tmp_path):
    with (
        pytest.raises(SecretsError, match=r"cannot open .*: No such file") as caught,
        locked(tmp_path / "none"),
    ):
        pass
    assert "secrets setup" in caught.value.hint


# is_there and make_directory


def test_a_directory_is_made_for_its_owner_only_with_those_above_it(tmp_path):
    directory = tmp_path / "new" / "deep"
    make_directory(directory)
    make_directory(directory)
    assert mode(directory) == 0o700
    assert is_there(directory)
    assert not is_there(directory / "none")


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "directory"):
        with pytest.raises(SecretsError, match=f"cannot make {path}: ") as caught:
            make_directory(path)
        assert caught.value.hint == "check the path"
        assert caught.value.__context__ is None


@needs_root
def test_a_file_in_a_directory_that_may_not_be_entered_cannot_be_looked_at(directory):
    directory.chmod(0o700)
    done = run(
        """
        try:
            is_there(Path(sys.argv[1]))
        except SecretsError as exc:
            print(exc)
        """,
        directory / "secrets.env",
        user="nobody",
    )
    assert done.stdout == (
        f"cannot look at {directory / 'secrets.env'}: Permission denied\nhint: check the path\n"
    )
