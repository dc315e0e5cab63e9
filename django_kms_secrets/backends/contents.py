"""What is in a document: a JSON object whose keys are the names, trees and all.

The pending and the previous values of a rotation are kept in the document itself, under a name of
their own. The stages that a service or a table has belong to whole documents: a write to any other
name would replace the previous document, and with it a SECRET_KEY that sessions still need.

Nothing here knows where a document is kept.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..exceptions import SecretsError
from ..formats import tree
from ..types import PENDING, PREVIOUS, Secret, SecretStr, masked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


#: The name in a document under which it keeps what is pending and what is previous:
#: {"PENDING": {NAME: text}, "PREVIOUS": {NAME: text}}.
RESERVED = "django-kms-secrets"


def refuse_reserved(name: str) -> None:
    """Refuse a name that reaches into what a document keeps for itself.

    Raises:
        SecretsError: it does.
    """
    if f"{name}.".startswith(f"{RESERVED}."):
        raise SecretsError(
            f"{RESERVED} is where a document keeps pending and previous values",
            hint="take another name",
        )


@dataclass(frozen=True, repr=False)  # its repr would print the values
class Contents:
    """A document as it was read, to be changed and written.

    Attributes:
        values: the names, with trees as trees.
        version: its version id.
        created: when it was written.
        staged: what it keeps of a stage: name -> text. A name may be a tree or reach into one.
        foreign: somebody else uses `RESERVED` in it, so that it cannot be written.
    """

    values: dict[str, Any]
    version: str
    created: datetime | None
    staged: dict[str, dict[str, SecretStr]]
    foreign: bool = False

    @classmethod
    def parse(cls, text: str, version: str, created: datetime | None = None) -> Contents | None:
        """Read a document; None if it is other JSON than an object.

        Raises:
            SecretsError: it is not JSON.
        """
        values = tree.load(text)
        if not isinstance(values, dict):
            return None
        staged = values.pop(RESERVED, {})
        kept = {stage: _texts(staged, stage) for stage in (PENDING, PREVIOUS)}
        known = staged if isinstance(staged, dict) else {}
        foreign = staged != {stage: kept.get(stage) for stage in known}
        return cls(masked(values), version, created, kept, foreign)

    def secret(self, name: str) -> Secret | None:
        """What a name is now; None if it is not there."""
        return _secret(self.values, name, self.version)

    def secret_at(self, name: str, stage: str, whole: Contents | None) -> Secret | None:
        """What a name is at a stage.

        Args:
            name: the name; a tree has the values of its leaves, and a leaf that of its tree.
            stage: the stage.
            whole: the document that is at that stage as a whole, if there is one.
        """
        related = self.related(name, stage)
        if related == [name]:
            return Secret(name, self.staged[stage][name], self.version)
        if not related:
            return whole.secret(name) if whole else None
        values = masked((whole or self).values)
        for other in related:
            tree.place(values, other, self.staged[stage][other])
        found, current = _secret(values, name, self.version), self.secret(name)
        # What is staged of a tree may be another leaf.
        return found if found and current and found.value != current.value else None

    def related(self, name: str, stage: str) -> list[str]:
        """The names with a value at a stage that hold a name, are it, or reach into it.

        Trees come before what is in them.
        """
        others = self.staged.get(stage, {})
        return sorted(
            other for other in others if self._holds(name, other) or self._holds(other, name)
        )

    def replace(self, name: str, text: str, *, keep: bool) -> None:
        """Set a value.

        Where a previous value is kept, of the name or of what changes with it, what is replaced is
        kept in its place; with `keep` in any case.
        """
        current = self.secret(name)
        if current and current.value == text:
            return
        kept = self.staged[PREVIOUS]
        before = {other: self.secret(other) for other in (name, *kept)}
        tree.place(self.values, name, text)
        for other in {*kept, name} if keep else {*kept}:
            old, new = before[other], self.secret(other)
            if other != name and self._holds(other, name):
                self._keep_inside(other, name, before[name])
            elif old and (new is None or new.value != old.value):
                kept[other] = old.value
        self._forget_missing()

    def copied(self) -> Contents:
        """The same, and what is changed in one is not in the other."""
        staged = {stage: dict(values) for stage, values in self.staged.items()}
        return replace(self, values=deepcopy(self.values), staged=staged)

    def keep(self, name: str, text: str, before: Contents) -> None:
        """Keep a value as the previous one, in the place of what is kept of it and inside of it.

        Args:
            name: of what.
            text: the value.
            before: the document, which this write makes the previous one.
        """
        # As it is read after this write, and after any other.
        kept = [self.secret_at(name, PREVIOUS, whole) for whole in (before, None)]
        if all(secret and secret.value == text for secret in kept):
            return
        for other in self.related(name, PREVIOUS):
            if self._holds(name, other):
                del self.staged[PREVIOUS][other]
        self.staged[PREVIOUS][name] = SecretStr(text)

    def remove(self, name: str) -> bool:
        """Take a name out, with what is kept of it; False if it is not there."""
        if not tree.remove(self.values, name):
            return False
        for staged in self.staged.values():
            for other in [key for key in staged if self._holds(name, key)]:
                del staged[other]
        return True

    def retire(self, name: str) -> None:
        """Forget the previous value of a name, wherever it is kept."""
        kept = self.staged[PREVIOUS]
        for other in self.related(name, PREVIOUS):
            if self._holds(name, other):
                del kept[other]
            else:
                self._keep_inside(other, name, self.secret(name))

    def text(self) -> SecretStr:
        """The document, as it is written.

        Raises:
            SecretsError: something that was not written here would be lost.
        """
        self._refuse_loss()
        staged = {stage: values for stage, values in self.staged.items() if values}
        whole = {**self.values, RESERVED: staged} if staged else self.values
        return SecretStr(tree.text_of(whole))

    def _refuse_loss(self) -> None:
        if self.foreign:
            raise SecretsError(
                f"the document has a {RESERVED} that was not written here and would be lost; "
                "nothing was stored",
                hint="give it another name, with what wrote it: pending and previous values are "
                "kept there",
                names=[RESERVED],
            )
        if rounded := [name for name, value in self.values.items() if tree.is_rounded(value)]:
            raise SecretsError(
                "numbers with more digits than are kept would be rounded, in "
                f"{', '.join(rounded)}; nothing was stored",
                hint="`secrets put NAME`, or NAME.LEAF in a tree, with the same digits keeps them: "
                "as text",
                names=rounded,
            )

    def _holds(self, name: str, other: str) -> bool:
        """Whether a name is another one, or a tree that it reaches into."""
        return name == other or (other.startswith(f"{name}.") and other not in self.values)

    def _keep_inside(self, root: str, name: str, value: Secret | None) -> None:
        """Set a value in a previous tree."""
        if value:
            kept: dict[str, Any] = {root: self.staged[PREVIOUS][root]}
            tree.place(kept, name, value.value)
            self.staged[PREVIOUS][root] = SecretStr(kept[root])

    def _forget_missing(self) -> None:
        """Names that have gone with their tree have no stages."""
        for staged in self.staged.values():
            for name in [name for name in staged if self.secret(name) is None]:
                del staged[name]


def _texts(staged: Any, stage: str) -> dict[str, SecretStr]:
    texts = staged.get(stage) if isinstance(staged, dict) else None
    kept = texts if isinstance(texts, dict) else {}
    return {name: SecretStr(text) for name, text in kept.items() if isinstance(text, str)}


def _secret(values: Mapping[str, Any], name: str, version: str) -> Secret | None:
    value = tree.reach(values, name)
    if value is tree.MISSING:
        return None
    return Secret(name, SecretStr(tree.text_of(value)), version)
