"""The operator: one resource into typed Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_lightspeed.compat import (
    AIRFLOW_V_3_0_PLUS,
    AirflowFailException,
    AirflowSkipException,
    AssetAlias,
    BaseOperator,
    ObjectStoragePath,
    asset_page,
    conf,
    datetime_trigger,
    hash_salt,
    previous_schedule,
    run_kind,
)
from airflow_provider_lightspeed.exceptions import (
    LightspeedAuthError,
    LightspeedError,
    LightspeedFatalError,
    RelationUnavailable,
    ResourceUnavailable,
    SchemaDrift,
    SweepAborted,
)
from airflow_provider_lightspeed.links.lightspeed import DatasetLink, LightspeedLink

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_lightspeed.extract.pause import Paused, PausePolicy
    from airflow_provider_lightspeed.extract.summary import Progress
    from airflow_provider_lightspeed.extract.window import RunFacts
    from airflow_provider_lightspeed.operators.outcome import Outcome

#: Seconds between two progress lines of the task log.
LOG_SECONDS = 10.0
#: Start-up times of a resumed task that are believed, in seconds; more is a clock that is wrong.
START_UP_RANGE = (2.0, 120.0)


class LightspeedToParquetOperator(BaseOperator):
    """Extracts a resource of the Lightspeed Retail (R-Series) API to ``{path}/{resource}/*.parquet``.

    :param resource: the API's own name, such as ``Sale`` or ``ItemShop``; see ``airflow lightspeed resources``.
    :param path: folder or URL of the dataset: anything that ``ObjectStoragePath`` knows, ``s3://conn_id@bucket/key``
        included. ``~`` is the home folder of the worker's user. Which paths are refused: docs/reading.md.
    :param lightspeed_conn_id: the connection.
    :param relations: relations to load, as nested columns, such as ``["SaleLines.Item"]``. Here, and wherever a list of names
        is taken, a text is one name, names with commas between them, or a list in JSON.
    :param filters: field to value or condition, such as ``{"completed": True, "total": ">,100"}``.
    :param mode: ``incremental`` reads what changed in the run's window, ``full`` everything.
    :param window_start: explicit start (ISO 8601 with offset, or an aware datetime); default see docs/windows.md.
    :param window_end: explicit, exclusive end.
    :param relation_layout: ``nested``: relations are nested columns; ``tables``: each is a dataset of its own,
        ``{path}/{resource}.{relation}``, committed together with the resource's.
    :param columns: top-level columns to keep; default all.
    :param exclude_columns: columns that are left out, nested ones dotted (``Contact.Phones``): personal data that is not needed.
    :param hash_columns: columns whose values are replaced by salted hashes before anything is written; needs
        ``[lightspeed] hash_salt``.
    :param column_naming: ``source``: the API's names (``saleID``); ``snake_case`` (``sale_id``). Arguments always use the
        API's.
    :param schema_drift: what becomes of fields that the catalog does not know: ``evolve`` keeps them in ``_extra``,
        ``discard`` drops them, ``freeze`` fails the task, also when a field vanishes or changes its type. All three log
        them and name them in the asset event.
    :param on_missing_relation: what becomes of a relation that the account refuses, or that no record shows: ``warn`` goes
        on without it, ``fail`` fails the task. Either names it; what earlier runs knew of it stays (docs/live.md).
    :param on_unavailable: what becomes of a resource that the account may not read (403): ``fail`` fails the task,
        ``skip`` skips it with the reason. A resource that an earlier run could read always fails.
    :param detect_deletes: look for deleted records, and for archived ones that no window shows, and write tombstones to
        ``{path}/{resource}.tombstones``.
    :param detect_deletes_every: how long after the last time; default seven days.
    :param keep_history: keep rows that are no longer current when small files are rewritten into larger ones; default they go
        (docs/dataset.md, "Compaction").
    :param verify: hold what was read against the account before it is committed: the count, and every key missing in
        between, asked for once more. A record that was missed fails the task. Costs a unit for each 100 missing keys, and
        ten for the count; docs/verify.md.
    :param skip_when_empty: end the task as skipped when nothing had changed, and raise no asset event: the watermark moves
        all the same. With False such a task succeeds with zero rows. Reads of everything are never skipped.
    :param max_parallel_requests: requests at a time at most; as many are used as the account's rate limit has room for.
    :param deferrable: give the worker slot back while the rate limit's bucket drains, and go on when it has room; needs
        a triggerer. Default: ``[operators] default_deferrable``.
    :returns: (XCom) ``resource, rows, files, bytes, drips, requests, seconds, window_start, window_end, watermark,
        manifest, commit, schema, account_id, set_aside, drift, tables, swept, verified, relations_refused,
        relations_missing``; docs/lineage.md says what the asset events, OpenLineage and the links hold.
    :raises AirflowFailException: retrying cannot help: a wrong argument, or the grant needs a person.
    :raises AirflowSkipException: everything up to now has been read, nothing had changed, or the resource is unavailable
        and may be skipped.
    """

    template_fields: Sequence[str] = (
        "resource", "path", "lightspeed_conn_id", "relations", "filters", "mode", "window_start", "window_end",
        "relation_layout", "columns", "exclude_columns", "hash_columns", "column_naming", "schema_drift",
        "on_missing_relation", "on_unavailable",
    )  # fmt: skip
    template_fields_renderers = dict.fromkeys(
        ("filters", "relations", "columns", "exclude_columns", "hash_columns"), "json"
    )
    ui_color = "#e8f0e4"
    operator_extra_links = (DatasetLink(), LightspeedLink())
    #: Set when the extract is committed, and asked for afterwards, in the same process: by OpenLineage and the links.
    _outcome: Outcome | None = None
    _links: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        *,
        resource: str,
        path: str,
        lightspeed_conn_id: str = "lightspeed_default",
        relations: str | Sequence[str] = (),
        filters: str | Mapping[str, Any] | None = None,
        mode: str = "incremental",
        window_start: datetime | str | None = None,
        window_end: datetime | str | None = None,
        relation_layout: str = "nested",
        columns: str | Sequence[str] | None = None,
        exclude_columns: str | Sequence[str] = (),
        hash_columns: str | Sequence[str] = (),
        column_naming: str = "source",
        schema_drift: str = "evolve",
        on_missing_relation: str = "warn",
        on_unavailable: str = "fail",
        detect_deletes: bool = False,
        detect_deletes_every: timedelta = timedelta(days=7),
        keep_history: bool = False,
        verify: bool = False,
        skip_when_empty: bool = True,
        max_parallel_requests: int = 8,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.resource = resource
        self.path = path
        self.lightspeed_conn_id = lightspeed_conn_id
        self.relations = relations
        self.filters = filters
        self.mode = mode
        self.window_start = window_start
        self.window_end = window_end
        self.relation_layout = relation_layout
        self.columns = columns
        self.exclude_columns = exclude_columns
        self.hash_columns = hash_columns
        self.column_naming = column_naming
        self.schema_drift = schema_drift
        self.on_missing_relation = on_missing_relation
        self.on_unavailable = on_unavailable
        self.detect_deletes = detect_deletes
        self.detect_deletes_every = detect_deletes_every
        self.keep_history = keep_history
        self.verify = verify
        self.skip_when_empty = skip_when_empty
        self.max_parallel_requests = max_parallel_requests
        self.deferrable = deferrable

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Extract, commit, emit the asset events, return the summary; or defer while the bucket drains."""
        return self._work(context, began=datetime.now(UTC), drips=0.0, requests=0, start_up=None)

    def execute_complete(
        self, context: Mapping[str, Any], event: Any = None, *, began: str, until: str, drips: float, requests: int
    ) -> dict[str, Any]:
        """Go on after a deferral.

        :param event: the trigger's; not needed.
        :param began: when the extract began, ISO 8601.
        :param until: when the deferral was to end: since then this process has been starting.
        :param drips: spent so far.
        :param requests: sent so far.
        """
        del event
        start_up = (datetime.now(UTC) - datetime.fromisoformat(until)).total_seconds()
        low, high = START_UP_RANGE
        return self._work(
            context,
            began=datetime.fromisoformat(began),
            drips=drips,
            requests=requests,
            start_up=min(high, max(low, start_up)),
        )

    def _work(
        self, context: Mapping[str, Any], *, began: datetime, drips: float, requests: int, start_up: float | None
    ) -> dict[str, Any]:
        from airflow_provider_lightspeed.extract.pause import START_UP, Paused, PausePolicy
        from airflow_provider_lightspeed.extract.window import NothingToRead

        try:
            outcome = self._extract(context, PausePolicy(start_up or START_UP) if self.deferrable else None)
        except Paused as paused:
            self._defer(paused, began, drips, requests)
        except NothingToRead as nothing:
            raise AirflowSkipException(str(nothing)) from None
        except ResourceUnavailable as unavailable:
            raise AirflowSkipException(str(unavailable)) from None
        except (LightspeedAuthError, LightspeedFatalError, RelationUnavailable, SchemaDrift, SweepAborted) as error:
            _fail(error)
        seconds = (datetime.now(UTC) - began).total_seconds()
        summary = replace(
            outcome.summary,
            drips=outcome.summary.drips + drips,
            requests=outcome.summary.requests + requests,
            seconds=max(seconds, 0.0),
        )
        if summary.is_unchanged and self.skip_when_empty:
            spent = f"{summary.requests} requests, {summary.drips:.1f} drips"
            raise AirflowSkipException(f"{summary.unchanged}; {spent}; skip_when_empty=False makes such a task succeed")
        self._tell(context, replace(outcome, summary=summary))
        self.log.info(
            "%s: %d rows in %d file(s), %.1f s, %d requests, %.1f drips; manifest %s",
            summary.resource, summary.rows, summary.files, summary.seconds, summary.requests, summary.drips, summary.manifest,
        )  # fmt: skip
        return summary.as_xcom()

    def _defer(self, paused: Paused, began: datetime, drips: float, requests: int) -> NoReturn:
        until = datetime.now(UTC) + timedelta(seconds=paused.seconds)
        self.log.info("%s: %s; deferred until %s", self.resource, paused, until.isoformat(timespec="seconds"))
        self.defer(
            trigger=datetime_trigger(until),
            method_name="execute_complete",
            kwargs={
                "began": began.isoformat(),
                "until": until.isoformat(),
                "drips": drips + paused.drips,
                "requests": requests + paused.requests,
            },
        )
        raise AssertionError("defer() always raises")

    def _extract(self, context: Mapping[str, Any], pause: PausePolicy | None) -> Outcome:
        from airflow_provider_lightspeed.extract.plan import Job
        from airflow_provider_lightspeed.extract.run import extract
        from airflow_provider_lightspeed.extract.summary import Paced
        from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
        from airflow_provider_lightspeed.lake.paths import resolve_path
        from airflow_provider_lightspeed.lake.storage import Storage
        from airflow_provider_lightspeed.links.location import Location
        from airflow_provider_lightspeed.operators.outcome import Outcome

        job = Job.of(
            self.resource,
            mode=self.mode,
            relations=self.relations,
            filters=self.filters,
            columns=self.columns,
            exclude_columns=self.exclude_columns,
            hash_columns=self.hash_columns,
            column_naming=self.column_naming,
            relation_layout=self.relation_layout,
            schema_drift=self.schema_drift,
            on_missing_relation=self.on_missing_relation,
            on_unavailable=self.on_unavailable,
            salt=hash_salt() if self.hash_columns else None,
        )
        run = self._run_facts(context)
        target = resolve_path(self.path, ObjectStoragePath)
        storage = Storage(target.fs, target.path)
        instance = context["ti"]
        client = LightspeedHook(self.lightspeed_conn_id).get_conn()
        summary = extract(
            client,
            storage,
            job,
            run,
            run_key=f"{instance.dag_id}/{instance.task_id}/{instance.run_id}/{instance.map_index}",
            attempt=str(instance.try_number),
            on_progress=Paced(self._progress, every=LOG_SECONDS),
            most_chains=self.max_parallel_requests,
            pause=pause,
            sweep_every=self.detect_deletes_every if self.detect_deletes else None,
            verified=self.verify,
            keep_history=self.keep_history,
        )
        return Outcome(job, client.url(job.resource.path), Location.of(target, job.resource.name), summary)

    def _run_facts(self, context: Mapping[str, Any]) -> RunFacts:
        from airflow_provider_lightspeed.extract.window import RunFacts, moment_of

        conf = getattr(context.get("dag_run"), "conf", None) or {}
        logical_date = context.get("logical_date")
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        kind = run_kind(context)
        return RunFacts(
            kind=kind,
            interval=(start, end) if start is not None and end is not None and start < end else None,
            logical_date=logical_date,
            previous_schedule=(
                previous_schedule(context["dag"], logical_date)
                if kind == "backfill" and logical_date is not None
                else None
            ),
            start=moment_of("window_start", self.window_start or conf.get("window_start")),
            end=moment_of("window_end", self.window_end or conf.get("window_end")),
        )

    def _progress(self, progress: Progress) -> None:
        self.log.info(
            "%s: %d rows, %d requests, %.0f rows/s, bucket %.1f/%.0f%s",
            self.resource, progress.rows, progress.requests, progress.rows_per_second,
            progress.bucket_level, progress.bucket_size, progress.outlook(),
        )  # fmt: skip

    def _tell(self, context: Mapping[str, Any], outcome: Outcome) -> None:
        """Raise the asset events, and keep what OpenLineage and the links ask for when the task has ended."""
        from airflow_provider_lightspeed.assets import resource_asset

        aliases = [outlet for outlet in self.outlets or () if isinstance(outlet, AssetAlias)]
        asset = resource_asset(outcome.summary.account_id, outcome.summary.resource)
        # Outlets of a mapped task cannot be set later: an alias is what stands for an asset known only now.
        for alias in aliases:
            context["outlet_events"][alias].add(asset, extra=outcome.summary.as_event())
        self._outcome = outcome
        self._links = {
            DatasetLink.xcom_key: outcome.location.console or (asset_page(asset) if aliases else ""),
            LightspeedLink.xcom_key: outcome.job.resource.docs_url,
        }
        if not AIRFLOW_V_3_0_PLUS:  # there, who asks for a link is another process, which has the XComs only
            for key, link in self._links.items():
                context["ti"].xcom_push(key=key, value=link)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what OpenLineage is told: source, dataset, their columns, and what was written.

        Airflow's OpenLineage provider calls it in the process that ran the task, when the task has ended.

        :param task_instance: not needed.
        """
        from airflow.providers.openlineage.extractors import OperatorLineage

        del task_instance
        if self._outcome is None:
            return OperatorLineage()
        from airflow_provider_lightspeed.operators.openlineage import lineage_of

        return lineage_of(self._outcome)


def _fail(error: LightspeedError) -> NoReturn:
    """End the task without retries; the type of the error stays in the text."""
    raise AirflowFailException(f"{type(error).__name__}: {error}") from error
