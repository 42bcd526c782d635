"""From a resource, a mode and a window to the requests that read it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from airflow_provider_lightspeed.arrow.secrets import is_secret
from airflow_provider_lightspeed.arrow.tables import Layout
from airflow_provider_lightspeed.arrow.types import Selection, shape_of
from airflow_provider_lightspeed.client.query import Or, request_cost
from airflow_provider_lightspeed.exceptions import InvalidArgument, unknown
from airflow_provider_lightspeed.extract.drift import POLICIES
from airflow_provider_lightspeed.extract.relations import Loading
from airflow_provider_lightspeed.extract.slices import BEGINNING
from airflow_provider_lightspeed.extract.window import Window
from airflow_provider_lightspeed.lake.records import Query, ReadState
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.base import FieldType, Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named
from airflow_provider_lightspeed.resources.given import conditions_of

MODES: Final = ("incremental", "full")
MISSING_RELATION: Final = ("warn", "fail")
UNAVAILABLE: Final = ("fail", "skip")
#: How many keys an append read goes back: ids are given before their rows become visible.
TRAILING_KEYS: Final = 1_000
#: Where a report begins when nothing says so.
FIRST_PERIOD: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Job:
    """What a user asks for, checked.

    :param mode: ``incremental`` or ``full``.
    :param selection: which columns are written, and how.
    :param salt: of hashed columns.
    :param layout: ``nested`` or ``tables``.
    :param drift: what becomes of fields that are not the catalog's, see :mod:`..extract.drift`.
    :param on_missing_relation: ``warn`` or ``fail``, when a relation is refused or no record shows it.
    :param on_unavailable: ``fail`` or ``skip``, when the account may not read the resource.
    """

    resource: Resource
    mode: str = "incremental"
    relations: tuple[str, ...] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    salt: Secret | None = None
    layout: str = "nested"
    drift: str = "evolve"
    on_missing_relation: str = "warn"
    on_unavailable: str = "fail"

    @classmethod
    def of(
        cls,
        resource: str,
        *,
        mode: str = "incremental",
        relations: str | Iterable[str] | None = (),
        filters: str | Mapping[str, Any] | None = None,
        columns: str | Iterable[str] | None = None,
        exclude_columns: str | Iterable[str] | None = (),
        hash_columns: str | Iterable[str] | None = (),
        column_naming: str = "source",
        relation_layout: str = "nested",
        schema_drift: str = "evolve",
        on_missing_relation: str = "warn",
        on_unavailable: str = "fail",
        salt: Secret | None = None,
    ) -> Job:
        """Check the names and return the job; nothing is sent.

        Lists of names and filters may also be texts: :mod:`..resources.given`.

        :raises InvalidArgument: names the argument, what was found and what is allowed.
        """
        found = resource_named(resource)
        closed = (
            ("mode", mode, MODES),
            ("schema_drift", schema_drift, POLICIES),
            ("on_missing_relation", on_missing_relation, MISSING_RELATION),
            ("on_unavailable", on_unavailable, UNAVAILABLE),
        )
        for argument, value, allowed in closed:
            if value not in allowed:
                raise unknown(argument, value, allowed)
        loaded = found.check_relations(relations)
        selection = Selection.of(columns, exclude_columns, hash_columns, column_naming)
        conditions = conditions_of("filters", filters)
        job = cls(
            found,
            mode,
            loaded,
            conditions,
            selection,
            salt,
            relation_layout,
            schema_drift,
            on_missing_relation,
            on_unavailable,
        )
        _check_salt(job)
        _check_key(job)
        _check_filters(job)
        return job

    def output_layout(self) -> Layout:
        """Return the tables that it writes."""
        return Layout(shape_of(self.resource, self.relations, self.selection), self.layout)

    @property
    def whole(self) -> bool:
        """Whether each run reads all there is."""
        return self.mode == "full" or self.resource.strategy is Strategy.SNAPSHOT

    def query(self, account_id: str) -> Query:
        """Return what identifies the result: runs with the same query continue each other."""
        selection = self.selection
        return Query(
            account=account_id,
            resource=self.resource.name,
            relations=tuple(self.relations),
            filters={name: str(value) for name, value in sorted(self.filters.items())},
            columns=tuple(sorted(selection.columns)) if selection.columns is not None else None,
            excluded=tuple(sorted(selection.excluded)),
            hashed=tuple(sorted(selection.hashed)),
            salt=self.salt.fingerprint() if self.salt and selection.hashed else None,
            naming=selection.naming,
            layout=self.layout,
        )


def _check_salt(job: Job) -> None:
    hashed = list(job.selection.hashed)
    if hashed and not job.salt:
        msg = (
            "hash_columns: there is no salt, and hashes without one can be tried out; set the option hash_salt of the "
            "section [lightspeed], for all workers the same and for as long as the hashes are to match"
        )
        raise InvalidArgument(msg, field="hash_columns", found=hashed, allowed=("[lightspeed] hash_salt",))


def _check_key(job: Job) -> None:
    """See that child tables have a key to hang on."""
    key, layout = job.resource.primary_key, job.output_layout()
    if job.layout != "nested" and key is not None and layout.shape.key is None:
        msg = (
            f"relation_layout: the rows of 'tables' hang on {key!r}, which columns or exclude_columns leave out; keep it, "
            "or hash it"
        )
        raise InvalidArgument(msg, field="relation_layout", found=job.layout, allowed=(f"a dataset with {key}",))


def _check_filters(job: Job) -> None:
    resource, names = job.resource, job.filters
    _archived_as(names.get("archived"))
    asked = [*names, *(name for name, _ in Or.parse(names["or"]).alternatives)] if "or" in names else list(names)
    _check_secrets(resource, asked)
    resource.check_filters(asked, job.relations)
    absent = [name for name in resource.required_params if name not in names]
    if absent and resource.strategy is not Strategy.PERIOD:
        msg = f"filters: {resource.name} needs {', '.join(absent)}; add filters={{{absent[0]!r}: ...}}"
        raise InvalidArgument(msg, field="filters", found=sorted(names), allowed=absent)
    moved = resource.entity.find(resource.modified_field) if resource.modified_field else None
    if not job.whole and moved and any(name in names for name in (moved.name, *moved.aliases)):
        msg = (
            f"filters: {moved.name!r} is set by the window of an incremental read; "
            "use window_start and window_end, or mode='full'"
        )
        raise InvalidArgument(
            msg, field="filters", found=resource.modified_field, allowed=("window_start", "window_end")
        )


def _check_secrets(resource: Resource, names: Iterable[str]) -> None:
    """See that no filter is on a secret field: its value would be in URLs, in the manifest and in messages (M8)."""
    for name in names:
        if is_secret(resource.entity, name):
            msg = (
                f"filters: {name!r} of {resource.name} is a secret field, and a filter's value is sent in the URL and kept "
                "in the manifest; filter by another field, or name it in columns and filter the rows afterwards"
            )
            raise InvalidArgument(msg, field="filters", found=name, allowed=("fields that are not secret",))


@dataclass(frozen=True, slots=True)
class Plan:
    """One list to read.

    :param resource: the one whose list is read; another than the job's for a ``parent`` strategy.
    :param checked_field: every row's value of it must lie in the window; ``None``: no filter to check.
    :param child: take the records of this relation instead of the rows themselves.
    :param key: the primary key in whose order the list comes and by which it can be cut; ``None``: it is read in one go.
    :param floor: rows up to this key are not read.
    :param loading: what the read learns of the account's relations.
    :param archived_as: ``true``: archived records are included and marked; ``only`` these, ``false``: all others.
    """

    resource: Resource
    filters: Mapping[str, Any]
    relations: tuple[str, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    checked_field: str | None = None
    child: str | None = None
    key: str | None = None
    floor: int = BEGINNING
    archived_as: str = "true"
    loading: Loading = field(default_factory=Loading, compare=False, repr=False)

    @property
    def cost(self) -> float:
        """Bucket units of one page, in all pieces that it is asked for in."""
        first, *more = (self.resource.relations_cost(piece) for piece in self.loading.pieces(self.relations))
        return request_cost(relations=first, filters=self.filters) + sum(request_cost(relations=each) for each in more)

    @property
    def variants(self) -> tuple[Mapping[str, str], ...]:
        """The parameters of the lists that are the resource together; one list if a filter chooses among them."""
        variants = self.resource.variants
        is_chosen = any(name in self.filters for variant in variants for name in variant)
        return ({},) if is_chosen else variants

    @property
    def archived(self) -> str | None:
        """What is asked for of archived records; ``None`` where the resource has none."""
        return self.archived_as if self.resource.archived else None


def make_plan(job: Job, window: Window, state: ReadState) -> Plan:
    """Return how a window of a job is read.

    :param state: what the run before left (the last key of an append read).
    :raises InvalidArgument: the job asks for what its strategy cannot do.
    """
    plan = _plan(job, window, state)
    return replace(plan, key=key_of(plan))


def key_of(plan: Plan) -> str | None:
    """Return the primary key, if the list can be sorted and cut by it and nobody else filters on it."""
    resource, name = plan.resource, plan.resource.primary_key
    if resource.parents or name is None or name not in resource.sortable or name in plan.filters:
        return None
    return name if resource.entity.find(name).type is FieldType.INTEGER else None


def _plan(job: Job, window: Window, state: ReadState) -> Plan:
    resource, filters = job.resource, dict(job.filters)
    archived = _archived_as(filters.pop("archived", None)) if resource.archived else "true"
    plan = Plan(resource, filters, job.relations, archived_as=archived)
    match resource.strategy:
        case Strategy.PERIOD:
            start = window.start or window.end - FIRST_PERIOD
            last = window.end - timedelta(seconds=1)
            return replace(plan, params={"startDate": start.date().isoformat(), "endDate": last.date().isoformat()})
        case Strategy.MODIFIED if not job.whole:
            assert resource.modified_field is not None
            return _within(plan, resource.modified_field, window)
        case Strategy.APPEND if not job.whole:
            return _append(plan, window, state)
        case Strategy.PARENT if not job.whole:
            return _through(job, window)
    return plan


def _archived_as(asked: Any) -> str:
    """Return the API's word for a filter on the flag, which is no field to it.

    :raises InvalidArgument: anything but true and false.
    """
    found = {"none": "true", "true": "only", "false": "false"}.get(str(asked).lower())
    if found is None:
        msg = f"filters: 'archived' is {asked!r}; allowed are True and False, and nothing for both"
        raise InvalidArgument(msg, field="filters", found=asked, allowed=(True, False))
    return found


def _append(plan: Plan, window: Window, state: ReadState) -> Plan:
    resource = plan.resource
    if not window.moves_watermark and window.start is not None and resource.created_field:
        return _within(plan, resource.created_field, window)
    last = (state.last_key or 0) - TRAILING_KEYS
    return replace(plan, floor=last) if last > 0 else plan


def _through(job: Job, window: Window) -> Plan:
    through = job.resource.through
    assert through is not None
    parent = resource_named(through.resource)
    if job.filters:
        msg = (
            f"filters: an incremental read of {job.resource.name} goes through {parent.name} and cannot filter; "
            "use mode='full' with filters, or filter afterwards"
        )
        raise InvalidArgument(msg, field="filters", found=sorted(job.filters), allowed=("mode='full'",))
    wanted = [through.relation, *(f"{through.relation}.{name}" for name in job.relations)]
    for name in wanted:
        if name not in parent.relations:
            msg = (
                f"relations: an incremental read of {job.resource.name} goes through {parent.name}, which cannot load "
                f"{name!r}; use mode='full', or read that relation's own resource"
            )
            raise InvalidArgument(msg, field="relations", found=name, allowed=("mode='full'",))
    assert parent.modified_field is not None
    plan = Plan(parent, {}, parent.check_relations(wanted), child=through.relation)
    return _within(plan, parent.modified_field, window)


def _within(plan: Plan, field: str, window: Window) -> Plan:
    """Return a plan of the rows whose time lies in the window; a first read takes those without a time too."""
    condition = window.filter_value()
    if condition is None:
        return plan
    return replace(plan, filters={**plan.filters, field: condition}, checked_field=field)
