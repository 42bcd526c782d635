"""Where the API's answers differ from the catalog, and what is done about it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_lightspeed.arrow.convert import UNKNOWN
from airflow_provider_lightspeed.exceptions import SchemaDrift

#: ``evolve`` keeps what has no column in ``_extra``, ``discard`` drops unknown fields, ``freeze`` fails the task.
POLICIES: Final = ("evolve", "freeze", "discard")
#: A field counts as vanished when so many rows of one read are without it.
ENOUGH_ROWS: Final = 100
#: Reasons for ``_extra`` that say nothing about the type.
_NO_DRIFT: Final = ("more than ten decimals", "finer than microseconds", "differs from ")

Report = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Drift:
    """What was found.

    :param unknown: fields that the catalog does not know, with the number of records that had them.
    :param changed: fields with values that do not fit their type: ``path: reason`` with their number.
    :param vanished: fields that an earlier run saw and this one did not.
    """

    unknown: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    vanished: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.unknown or self.changed or self.vanished)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; empty if there is none."""
        found = {"unknown": dict(self.unknown), "changed": dict(self.changed), "vanished": list(self.vanished)}
        return {kind: value for kind, value in found.items() if value}

    def words(self) -> str:
        """Return it as a clause for people."""
        clauses = (
            ("fields that the catalog does not know", self.unknown),
            ("values that do not fit", self.changed),
            ("fields that came before and no longer do", self.vanished),
        )
        return "; ".join(f"{what}: {', '.join(sorted(names))}" for what, names in clauses if names)


def drift_of(report: Report, *, vanished: Collection[str] = ()) -> Drift:
    """Return the drift in what went to ``_extra``."""
    unknown = {path: count for (path, reason), count in report.items() if reason == UNKNOWN}
    changed = {
        f"{path}: {reason}": count
        for (path, reason), count in report.items()
        if reason != UNKNOWN and not reason.startswith(_NO_DRIFT)
    }
    return Drift(unknown, changed, tuple(sorted(vanished)))


def vanished(before: Collection[str], seen: Collection[str], rows: int) -> frozenset[str]:
    """Return the fields of an earlier run that are in none of this one's rows, if these are enough to tell."""
    return frozenset(before).difference(seen) if rows >= ENOUGH_ROWS else frozenset()


def refuse(resource: str, drift: Drift) -> None:
    """Fail, if there is any drift.

    :raises SchemaDrift: names the fields.
    """
    if drift:
        msg = (
            f"{resource}: schema_drift is 'freeze', and the API's answer differs from the catalog: {drift.words()}. Nothing "
            "was committed. Look at the fields; with schema_drift='evolve' they are kept in the column _extra"
        )
        raise SchemaDrift(msg, resource=resource, **drift.as_json())
