"""Files that hold secrets: read with a limit, written whole and for the owner only."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .exceptions import SecretsError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

#: More than this is no file of secrets (bytes).
MAX_BYTES = 16 * 1024 * 1024
PRIVATE = 0o600
#: How long another writer is waited for (seconds).
LOCK_SECONDS = 10.0


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a UTF-8 file, line ends as they are.

    Raises:
        SecretsError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = _reason(exc)
    else:
        return decode(data, str(path))
    raise SecretsError(f"cannot read {path}: {reason}", hint="check the path and its permissions")


def decode(data: bytes, where: str) -> str:
    """Make text of what was read.

    Raises:
        SecretsError: it is too large, or not UTF-8. (The codec's error would carry the bytes.)
    """
    if len(data) > MAX_BYTES:
        raise SecretsError(f"{where} is larger than {MAX_BYTES:,} bytes", hint="is it that file?")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        offset = exc.start
    raise SecretsError(
        f"{where} is not UTF-8 text (byte {offset})", hint="store binary values as base64"
    )


def write_private(path: str | os.PathLike[str], text: str) -> None:
    """Write a file that only its owner can read: the old or the new content, never a part.

    The content goes to a new file (created with mode 0600 whatever the umask), reaches the disk,
    and then takes the name. On Linux the new file has no name until it is whole, so of a process
    that is killed meanwhile nothing stays; only between the last two steps, `link` and `rename`,
    it is there twice, whole and private, as ``.NAME.`` and eight digits.

    Raises:
        SecretsError: the path is a symbolic link or no regular file, or writing failed; then the
            file is as it was.
    """
    target = Path(path)
    try:
        replaceable = not target.is_symlink() and (target.is_file() or not target.exists())
        if replaceable:
            _replace(target, text.encode("utf-8"))
    except (OSError, ValueError) as exc:
        reason = _reason(exc)
    else:
        if replaceable:
            return
        raise SecretsError(
            f"{target} is a symbolic link or not a regular file",
            hint="give the path of the file itself",
        )
    raise SecretsError(f"cannot write {target}: {reason}", hint="check the directory")


def _replace(target: Path, data: bytes) -> None:
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        if not _write_unnamed(draft, data):
            # With O_EXCL ("x"), so that nobody can have put a file or a link there.
            with open(draft, "xb", opener=_open_private) as file:
                _fill(file, data)
        draft.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    _sync_directory(target.parent)


def _write_unnamed(draft: Path, data: bytes) -> bool:
    """Write a file that gets its name when it is whole; False where there are no such files."""
    try:
        # Without that flag a directory is not opened for writing.
        flags = getattr(os, "O_TMPFILE", 0) | os.O_WRONLY
        descriptor = os.open(draft.parent, flags, PRIVATE)
    except OSError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        _fill(file, data)
        try:
            # Only with a directory's descriptor does Python have the link followed to the file.
            os.link(f"/proc/self/fd/{descriptor}", draft, src_dir_fd=descriptor)
        except OSError:  # no /proc
            return False
    return True


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE)


def _fill(file: BinaryIO, data: bytes) -> None:
    if hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), PRIVATE)  # the umask may have taken away from it
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_there(path: Path) -> bool:
    """Whether there is a file of that name.

    Raises:
        SecretsError: it cannot be looked at.
    """
    try:
        return path.exists()
    except (OSError, ValueError) as exc:
        reason = _reason(exc)
    raise SecretsError(f"cannot look at {path}: {reason}", hint="check the path")


def exposure(path: Path) -> str:
    """Who else can read or replace what is in a file, in words; "" for nobody, or no such file."""
    try:
        found = path.stat()
    except OSError:
        return ""
    if not hasattr(os, "getuid"):  # Windows: the mode says nothing
        return ""
    if found.st_uid not in (os.getuid(), 0):
        return "belongs to another user"
    mode = stat.S_IMODE(found.st_mode)
    return f"can be read or written by others (mode {mode:04o})" if mode & 0o077 else ""


def make_directory(directory: Path) -> None:
    """Make a directory for its owner only, and those above it.

    Raises:
        SecretsError: it cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, ValueError) as exc:
        reason = _reason(exc)
    else:
        return
    raise SecretsError(f"cannot make {directory}: {reason}", hint="check the path")


@contextlib.contextmanager
def locked(path: Path, flags: int = os.O_RDONLY) -> Iterator[None]:
    """Hold the only write lock of a directory or file, where the system has such locks.

    Args:
        path: the directory or file.
        flags: how it is opened; with `os.O_CREAT` a private file is made.

    Raises:
        StoreUnavailable: another process has kept it for `LOCK_SECONDS`.
        SecretsError: it cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two writers at once are not kept apart there
        yield
        return
    try:
        descriptor = os.open(path, flags, PRIVATE)
    except (OSError, ValueError) as exc:
        reason = _reason(exc)
    else:
        try:
            _in_time(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB), path)
            yield
        finally:
            # Closing is not enough: a process that was forked meanwhile has it open too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
        return
    raise SecretsError(f"cannot open {path}: {reason}", hint="`secrets setup` creates it")


def _reason(exc: OSError | ValueError) -> str:
    """Why it failed: a ValueError is a NUL in a path, or a text that is half of a character."""
    return getattr(exc, "strerror", None) or type(exc).__name__


def _in_time(lock: Callable[[], None], path: Path) -> None:
    end = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < end:
        try:
            lock()
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return
    raise StoreUnavailable(
        f"another process has kept {path} locked for {LOCK_SECONDS:g} s",
        hint="look for a writer that was stopped (`fuser`), then try again",
    )
