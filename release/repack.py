"""Pack an sdist anew, so that it depends on its files alone: ``repack.py SDIST SECONDS``.

setuptools leaves in it when and by whom it was built, and the modes of where that was.
"""

from __future__ import annotations

import gzip
import sys
import tarfile
from pathlib import Path


def repack(sdist: Path, time: int) -> None:
    """Pack the same files with names in order, one time, no owner and the same modes.

    Args:
        sdist: the archive, which is replaced.
        time: of every file, in seconds since 1970.
    """
    packed = sdist.with_suffix(".repacked")
    with (
        tarfile.open(sdist) as source,
        packed.open("xb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as zipped,
        tarfile.open(mode="w", fileobj=zipped) as target,
    ):
        for member in sorted(source, key=lambda member: member.name):
            clean = tarfile.TarInfo(member.name)
            clean.type, clean.size, clean.mtime = member.type, member.size, time
            clean.mode = 0o755 if member.isdir() else 0o644
            target.addfile(clean, source.extractfile(member))
    packed.replace(sdist)


if __name__ == "__main__":
    repack(Path(sys.argv[1]), int(sys.argv[2]))
