"""How the relations of one read are loaded: what the account refuses, how many fit into one request, what never came.

Learned while a read goes on, and kept with its commit for the next one (C1 to C4 in docs/live.md). Nothing is sent here.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from airflow_provider_lightspeed.client.decision import GATEWAY
from airflow_provider_lightspeed.exceptions import LightspeedError, RelationUnavailable, ServerFault
from airflow_provider_lightspeed.resources.base import Cardinality, Resource

log = logging.getLogger(__name__)

Record = dict[str, Any]

#: Records that must lack a relation before its absence means anything: of one that may well be empty, and of one that is
#: sure to exist. A window that ends too early by that is read again with what came after it.
ENOUGH: Final = 30
ENOUGH_IF_SURE: Final = 5
#: What was learned is tried anew after this time, and by every read with mode="full".
REMEMBERED: Final = timedelta(days=7)
#: Collections that nearly every record has. No window may be without them, or their rows would end as if deleted (C3).
ESSENTIAL: Final = frozenset(
    {"SaleLines", "SalePayments", "ItemShops", "OrderLines", "OrderShipmentItems", "TransferItems", "VendorReturnItems",
     "RegisterCountAmounts"}
)  # fmt: skip
#: Faults of a gateway after which a smaller request is tried: it may have given up waiting. Then it is really down.
_GATEWAY_STEPS: Final = 2
#: Times that records which change meanwhile are read again.
_TRIES: Final = 3
_REFUSED: Final = re.compile(r"relations that are not allowed:\s*(.+)", re.IGNORECASE | re.DOTALL)


class Changed(Exception):
    """Two answers about one record differ where they should not: it changed between them."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a read has learned of an account's relations of one resource.

    :param refused: relations that the account may not load.
    :param most: relations that fit into one request; ``None``: all of them.
    :param page_size: records that a page may have; ``None``: as many as usual.
    :param since: when it was learned, by the server's clock.
    :param missing: relations that no record showed so far; kept for a later try of the same run only.
    """

    refused: tuple[str, ...] = ()
    most: int | None = None
    page_size: int | None = None
    since: datetime | None = None
    missing: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; empty if nothing was learned."""
        found = {
            "refused": list(self.refused),
            "most": self.most,
            "page_size": self.page_size,
            "missing": dict(self.missing),
        }
        kept = {name: value for name, value in found.items() if value}
        return {**kept, "since": self.since.isoformat() if self.since else None} if kept else {}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Learned:
        """Read it back."""
        since = data.get("since")
        return cls(
            tuple(data.get("refused", ())),
            data.get("most"),
            data.get("page_size"),
            datetime.fromisoformat(since) if since else None,
            dict(data.get("missing", {})),
        )

    def is_fresh(self, now: datetime) -> bool:
        """Whether it is believed without a new try."""
        return self.since is not None and now - self.since < REMEMBERED


class Loading:
    """The state of one read, shared by its chains. Safe among threads.

    :param learned: by an earlier read.
    :param policy: ``warn`` or ``fail``: what becomes of a relation that is refused.
    :param held: relations that the dataset has records of. Reading their owners without them would make these records
        obsolete, so such a relation cannot be done without, whatever the policy.
    :param shown: fields that records have had in earlier runs. A record whose key says that it has a relation, which
        earlier runs have shown, cannot be without it either.
    """

    def __init__(
        self,
        learned: Learned | None = None,
        policy: str = "warn",
        *,
        held: frozenset[str] = frozenset(),
        shown: frozenset[str] = frozenset(),
    ) -> None:
        known = learned or Learned()
        self._lock = threading.Lock()
        self._policy = policy
        self._held = held
        self._shown = shown
        self._refused = list(known.refused)
        self.most = known.most
        self.page_size = known.page_size
        self._since = known.since
        self._gateway_steps = 0
        self._alone: list[str] = []
        self._seen: set[str] = set()
        self._lacking: Counter[str] = Counter(known.missing)
        self._records: Counter[str] = Counter()
        self._enough: dict[str, int] = {}
        self._asked: set[str] = set()
        self._spellings: dict[str, str] = {}

    @property
    def refused(self) -> tuple[str, ...]:
        """The relations that the account refuses."""
        return tuple(self._refused)

    @property
    def missing(self) -> dict[str, int]:
        """The relations that no record has shown, with the number of records that should have."""
        return {
            name: count
            for name, count in self._lacking.items()
            if count >= self._enough.get(name, ENOUGH) and name not in self._seen
        }

    def learned(self, now: datetime) -> Learned:
        """Return what a later read should know.

        A smaller page is not remembered by itself: the server may just have been down for a moment.
        """
        page_size = self.page_size if self.most else None
        found = Learned(self.refused, self.most, page_size, self._since or now, self.missing)
        return found if found.as_json() else Learned()

    # -- what to ask for ---------------------------------------------------------------------------------------------

    def wanted(self, relations: Iterable[str]) -> tuple[str, ...]:
        """Return the relations without those that are refused, and what lies below them."""
        return tuple(name for name in relations if not any(_is_within(name, each) for each in self._refused))

    def pieces(self, relations: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the relations as they are asked for: all at once, or a few at a time, each with those above it."""
        wanted = self.wanted(relations)
        together = [name for name in wanted if not any(_is_within(name, each) for each in self._alone)]
        pieces: list[list[str]] = [[]]
        for name in together:
            piece = pieces[-1]
            with_above = [*(each for each in above(name) if each in wanted), name]
            new = [each for each in with_above if each not in piece]
            if piece and self.most is not None and len(piece) + len(new) > self.most:
                piece, new = [], with_above
                pieces.append(piece)
            piece += new
        for single in self._alone:
            inside = [name for name in wanted if _is_within(name, single)]
            pieces.append([*(each for each in above(single) if each in wanted), *inside])
        return [tuple(piece) for piece in pieces]

    def limit(self, usual: int | None) -> int | None:
        """Return how many records to ask for."""
        return min(usual, self.page_size) if usual and self.page_size else usual

    def spelled(self, name: str) -> str:
        """Return a field's name as this account spells it, with the sign of a sort."""
        bare = name.removeprefix("-")
        return name.replace(bare, self._spellings.get(bare, bare))

    # -- what an error says ------------------------------------------------------------------------------------------

    def refuse(self, resource: Resource, relations: Sequence[str], error: LightspeedError) -> bool:
        """Drop the relations that an answer of 400 names; tell whether there were any (C2).

        :raises RelationUnavailable: the policy is ``fail``, or earlier runs could load it.
        """
        found = _REFUSED.search(getattr(error, "said", "") or "")
        if error.fields.get("status") != 400 or not found:
            return False
        named = [part.strip(" .'\"") for part in found[1].split(",")]
        names = [name for text in named for name in _matching(text, relations)]
        if not names:
            return False
        lost = [name for name in names if name in self._held]
        if lost:
            msg = (
                f"{resource.name}: the account refuses the relations {', '.join(lost)}, which earlier runs could load; a read "
                "without them would make what is known of them obsolete. Restore the right, or leave them out of relations"
            )
            raise RelationUnavailable(msg, resource=resource.name, relations=lost)
        if self._policy == "fail":
            raise RelationUnavailable(
                f"{resource.name}: the account refuses the relations {', '.join(names)}, and on_missing_relation is 'fail'",
                resource=resource.name,
                relations=names,
            )
        with self._lock:
            new = [name for name in dict.fromkeys(names) if name not in self._refused]
            self._refused += new
        for name in new:
            log.warning("%s: the account refuses the relation %s; it is read without", resource.name, name)
        return True

    def respell(self, resource: Resource, sent: Mapping[str, str], error: LightspeedError) -> bool:
        """Take the other spelling of a filter's field that an answer of 400 names; tell whether there is one left (B6).

        :param sent: the filters of the refused request, each with the spelling that it was sent in.
        """
        said = str(getattr(error, "said", "") or "")
        if error.fields.get("status") != 400:
            return False
        named = [name for name, spelling in sent.items() if spelling in said]
        return any(self.take_other_spelling(resource, name, sent[name]) for name in named)

    def take_other_spelling(self, resource: Resource, name: str, sent: str) -> bool:
        """Send a filter's field in its other spelling from now on; tell whether there is one left (B6, D6).

        :param sent: the spelling that failed. Another worker may have replaced it already.
        """
        others = [each for each in resource.entity.spellings(name) if each != name]
        with self._lock:
            if self.spelled(name) != sent:
                return True
            if not others or name in self._spellings:
                return False
            self._spellings[name] = others[0]
        log.info("%s: the filter field %s is spelled %s here", resource.name, name, others[0])
        return True

    def shrink(self, relations: Sequence[str], error: LightspeedError, limit: int | None, most: int | None) -> bool:
        """Ask for less after a 5xx with relations: first half a page, then half the relations; tell whether it can (C1).

        :param limit: what the request that failed had asked for.
        :param most: the same, in relations.
        """
        status = error.fields.get("status") or 0
        if not isinstance(error, ServerFault) or status < 500 or not relations:
            return False
        with self._lock:
            if (self.limit(limit), self.most) != (limit, most):
                return True  # another chain has been here
            if status in GATEWAY:
                self._gateway_steps += 1
                if self._gateway_steps > _GATEWAY_STEPS:
                    return False
            if self.page_size is None and limit and limit > 1:
                self.page_size = limit // 2
            elif (now := min(most or len(relations), len(relations))) > 1:
                self.most = (now + 1) // 2
            else:
                return False
            log.warning(
                "the server failed under %d relations; from now on %s records and %s relations per request",
                len(relations), self.page_size, self.most or "all",
            )  # fmt: skip
            return True

    # -- what an answer shows ----------------------------------------------------------------------------------------

    def doubtful(self, resource: Resource, relations: Sequence[str], records: Sequence[Record]) -> list[str]:
        """Note what a page shows; return the relations to ask for alone, since all of the page lacks them (C4)."""
        doubtful: list[str] = []
        for name in relations:
            if name in self._seen or resource.relations[name].is_sparse:
                continue
            owners = _owners(resource, name, records)
            if any(resource.relations[name].container_key in owner for owner in owners):
                self._seen.add(name)
                continue
            is_sure = resource.relations[name].cardinality is Cardinality.ONE or name.rpartition(".")[2] in ESSENTIAL
            with self._lock:
                self._enough[name] = ENOUGH_IF_SURE if is_sure else ENOUGH
                self._lacking[name] += len(owners)
                self._records[name] += len(records)
                if self._lacking[name] >= self._enough[name] and name not in self._asked:
                    self._asked.add(name)
                    doubtful.append(name)
        return doubtful

    def came_alone(self, resource: Resource, name: str, records: Sequence[Record], page: int) -> bool:
        """Tell whether a relation came that was asked for alone; if so, it is always asked for alone from now on.

        :param page: how many records the page had.
        :raises RelationUnavailable: earlier pages are without it already.
        """
        if not any(resource.relations[name].container_key in owner for owner in _owners(resource, name, records)):
            return False
        with self._lock:
            self._seen.add(name)
            self._alone.append(name)
        if self._records[name] > page:
            msg = f"{resource.name}: the relation {name} comes only when it is asked for alone, which earlier pages did not"
            raise RelationUnavailable(msg, resource=resource.name, relations=[name])
        log.warning("%s: the relation %s comes only when it is asked for alone; it is", resource.name, name)
        return True

    def settle(self, resource: Resource, child: str | None = None) -> None:
        """Say at the end of a read which relations no record has shown.

        :param child: the relation whose records are read; it cannot be done without.
        :raises RelationUnavailable: there are some, and the policy is ``fail``, or it is ``child``, or their records are
            sure to exist.
        """
        for name, count in self.missing.items():
            said = f"{resource.name}: the relation {name} was asked for, also alone, and none of {count} records has it"
            if self._policy == "fail" or name == child or self._must_exist(resource, name):
                msg = f"{said}; nothing was committed"
                raise RelationUnavailable(msg, resource=resource.name, relations=[name])
            log.warning("%s", said)

    def _must_exist(self, resource: Resource, name: str) -> bool:
        relation = resource.relations[name]
        if relation.cardinality is Cardinality.MANY:
            return name.rpartition(".")[2] in ESSENTIAL
        return relation.container_key in self._shown and name in self._held


def above(name: str) -> tuple[str, ...]:
    """Return the relations that a dotted one lies below, the outermost first."""
    parts = name.split(".")
    return tuple(".".join(parts[:depth]) for depth in range(1, len(parts)))


def _is_within(name: str, relation: str) -> bool:
    return name == relation or name.startswith(f"{relation}.")


def _matching(text: str, relations: Sequence[str]) -> list[str]:
    """Return the relations that an error means: by the whole name, or by its last part."""
    exact = [name for name in relations if name.lower() == text.lower()]
    return exact or [name for name in relations if name.rpartition(".")[2].lower() == text.lower()]


def _owners(resource: Resource, name: str, records: Sequence[Record]) -> list[Record]:
    """Return the records that should show a relation: for one that leads to one record, those whose key of it is set."""
    head, _, leaf = name.rpartition(".")
    owners: Sequence[Record] = records
    for outer in (*above(head), head) if head else ():
        # What lies above may be a field that arrives without asking, such as a label's Item.
        facts = resource.relations.get(outer)
        key, element = (facts.container_key, facts.element_key) if facts else (outer, None)
        owners = [inner for owner in owners for inner in members(owner.get(key), element)]
    if resource.relations[name].cardinality is Cardinality.MANY:
        return list(owners)
    # Without a field that says whether there is a record, its absence says nothing.
    field_name = f"{leaf}id".lower()
    return [
        owner
        for owner in owners
        if any(key.lower() == field_name and str(value) not in ("", "0", "None") for key, value in owner.items())
    ]


def members(container: Any, element: str | None) -> list[Record]:
    """Return the records inside a container: several, one as an object, or none."""
    inner = container.get(element) if element and isinstance(container, dict) else container
    found = inner if isinstance(inner, list) else [inner]
    return [member for member in found if isinstance(member, dict)]


def merge(first: Any, second: Any) -> Any:
    """Unite two answers about one record that loaded different relations.

    :raises Changed: they differ in what both have.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        both = {key: merge(first[key], second[key]) if key in second else first[key] for key in first}
        return both | {key: value for key, value in second.items() if key not in first}
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [merge(left, right) for left, right in zip(first, second, strict=True)]
    if first != second:
        raise Changed
    return first


def join(
    records: Sequence[Record],
    key: str,
    pieces: Sequence[tuple[str, ...]],
    ask: Callable[[Sequence[str], tuple[str, ...]], Mapping[str, Record]],
) -> list[Record]:
    """Return records with the relations of all pieces; those of the first they have.

    A record that changes between two answers is read again. One that is gone meanwhile is left out, as if it had gone
    before the page was read.

    :param ask: returns records by their key, with the relations of a piece.
    :raises ServerFault: records change, or are missing from some pieces, each time.
    """
    whole: dict[str, Record] = {}
    left = {str(record[key]): record for record in records}
    for _ in range(_TRIES):
        parts = [ask(list(left), piece) for piece in pieces[1:]]
        again = []
        for name, record in left.items():
            try:
                united = record
                for part in parts:
                    united = merge(united, part[name])
            except (KeyError, Changed):
                again.append(name)
            else:
                whole[name] = united
        left = dict(ask(again, pieces[0])) if again else {}
        if not left:
            return [whole[name] for record in records if (name := str(record[key])) in whole]
    msg = f"{key} {', '.join(list(left)[:5])}: differs each time that its relations are read in pieces; try again later"
    raise ServerFault(msg, keys=list(left))
