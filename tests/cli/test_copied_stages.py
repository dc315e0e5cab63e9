"""`copy --versions` between documents, whatever trees, leaves and stages there are in both."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from django_kms_secrets.backends.base import BaseStore, not_found
from django_kms_secrets.backends.capabilities import DocumentStore, StagedStore
from django_kms_secrets.backends.document import Document
from django_kms_secrets.cli.console import Console
from django_kms_secrets.cli.verbs.copy import _run
from django_kms_secrets.exceptions import SecretsError
from django_kms_secrets.types import CURRENT, PENDING, PREVIOUS, SecretVersion

if TYPE_CHECKING:
    from collections.abc import Collection

    from django_kms_secrets.backends.contents import Contents

NAMES = ["A", "db", "db.user", "db.pw"]
TEXTS = ["1", "2"]
TREES = [
    *('{"user": "1", "pw": "1"}', '{"user": "2", "pw": "1"}', '{"user": "1", "pw": "2"}'),
    *('{"user": "1"}', '{"user": "2"}', '{"pw": "1"}', "1"),
]
STEP = st.sampled_from(
    [
        (step, name, value)
        for step in ("put", "rotate", "stage", "promote", "unstage", "retire", "delete")
        for name in NAMES
        for value in (TREES if name == "db" else TEXTS)
        if step in ("put", "rotate", "stage") or value == "1"
    ]
)
STEPS = st.lists(STEP, max_size=5)


class Kept(Document):
    """A document whose versions are in a list."""

    pending_because = otherwise = ""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.texts = ["{}"]

    def read(self, version: str = CURRENT) -> Contents:
        last = len(self.texts)
        stages = {CURRENT: last, PREVIOUS: last - 1, PENDING: 0}
        number = stages[version] if version in stages else int(version)
        if not 1 <= number <= last:
            raise not_found("document", self, version=version)
        return self.parsed(self.texts[number - 1], str(number))

    def write(self, contents: Contents, names: Collection[str]) -> str:
        assert contents.version == str(len(self.texts))
        self.texts.append(contents.text())
        return str(len(self.texts))

    def versions(self, name: str) -> list[SecretVersion]:
        return [SecretVersion(name, str(len(self.texts)), (CURRENT,))]

    def whole_pending(self) -> str:
        return ""

    def drop_pending(self, version: str) -> None:
        raise NotImplementedError

    def setup(self) -> bool:
        return False


class Store(BaseStore, StagedStore, DocumentStore):
    """It, as a store."""

    document = "notes"

    def __init__(self, place: str) -> None:
        self.kept = Kept(place)

    @property
    def place(self) -> str:
        return self.kept.place

    def get(self, name, *, version=CURRENT):
        return self.kept.get(name, version)

    def get_many(self, names):
        return self.kept.get_many(names)

    def get_stages(self, name):
        return self.kept.get_stages(name)

    def list_secrets(self):
        return self.kept.list_secrets()

    def put(self, name, value, *, expected=None):
        return self.kept.put(name, value, expected)

    def delete(self, name):
        self.kept.delete(name)

    def rotate(self, name, value, *, expected):
        return self.kept.rotate(name, value, expected)

    def stage(self, name, value):
        return self.kept.stage(name, value)

    def promote(self, name):
        return self.kept.promote(name)

    def unstage(self, name):
        self.kept.unstage(name)

    def retire(self, name):
        self.kept.retire(name)

    def put_stages(self, values, *, expected, dry_run=False):
        self.kept.put_stages(values, expected, dry_run=dry_run)

    def unreadable_before(self):
        return self.kept.unreadable_before()

    def stages(self, name: str) -> dict[str, str]:
        """What a name is at each stage."""
        return {stage: str.__str__(secret.value) for stage, secret in self.get_stages(name).items()}


def filled(place: str, steps: list[tuple[str, str, str]]) -> Store:
    """A store in which these steps were taken, as far as they could be."""
    store = Store(place)
    for step, name, value in steps:
        with contextlib.suppress(SecretsError):
            if step in ("put", "stage"):
                getattr(store, step)(name, value)
            elif step == "rotate":
                store.rotate(name, value, expected=store.get(name).version)
            else:
                getattr(store, step)(name)
    return store


def copied(source: Store, target: Store, **options: object) -> tuple[bool, str]:
    """Whether a copy has gone well, and what it said."""
    said = io.StringIO()
    known = {"names": None, "existing": None, "versions": True, "dry_run": False, "format": "text"}
    try:
        code = _run(source, target, {**known, **options}, Console(io.StringIO(), said))
    except SecretsError as exc:
        return False, exc.message
    assert code == 0
    return True, said.getvalue()


@settings(max_examples=1000)
@example([("put", "db", "1"), ("put", "db.user", "1")], [("put", "db", '{"pw": "1"}')], "keep")
@given(STEPS, STEPS, st.sampled_from([None, "overwrite", "keep"]))
def test_every_stage_of_every_name_arrives_or_nothing_does(source_steps, target_steps, existing):
    """A dry run knows which; what was there or is kept keeps its stages; a rerun has no work."""
    source, target = filled("source", source_steps), filled("target", target_steps)
    assume(source.get_many(None))
    before = {name: target.stages(name) for name in NAMES}
    versions = len(target.kept.texts)
    dry, _ = copied(source, target, existing=existing, dry_run=True)
    done, said = copied(source, target, existing=existing)
    assert done == dry
    if not done:
        assert len(target.kept.texts) == versions
        return
    assert len(target.kept.texts) <= versions + 1
    _, _, line = said.partition("kept as they are: ")
    kept = line.partition("\n")[0].split(", ")
    for name in source.get_many(None):
        wanted, found = source.stages(name), target.stages(name)
        if name in kept:
            wanted = before[name]
        elif before[name].get(CURRENT) == wanted[CURRENT]:
            pending = wanted.get(PENDING, before[name].get(PENDING))
            wanted = {**before[name], PENDING: pending}
        assert {stage: found.get(stage) for stage in wanted} == wanted, name
    assert "target: 0 copied" in copied(source, target, existing=existing)[1]
