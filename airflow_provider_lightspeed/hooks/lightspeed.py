"""The hook: a Lightspeed connection as a client, pages, records, Arrow or a DataFrame."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_lightspeed.compat import BaseHook
from airflow_provider_lightspeed.provider_info import CONN_FIELDS, CONNECTION_TYPE, HOOK_NAME, UI_FIELD_BEHAVIOUR

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from airflow_provider_lightspeed.client.rest import Page, RetryDetails, RSeriesClient
    from airflow_provider_lightspeed.extract.plan import Job, Plan

log = logging.getLogger(__name__)


class LightspeedHook(BaseHook):
    """Reads the Lightspeed Retail (R-Series) API with the grant of an Airflow connection.

    The access token is shared by all tasks of the deployment and renewed when needed; the rotated refresh token is
    written back to the connection.

    :param lightspeed_conn_id: connection of type ``lightspeed``: client ID (``login``), client secret (``password``),
        API base URL (``host``, optional) and the extra keys ``refresh_token``, ``account_id``, ``scope``, ``auth_url``.
    """

    conn_name_attr = "lightspeed_conn_id"
    default_conn_name = "lightspeed_default"
    conn_type = CONNECTION_TYPE
    hook_name = HOOK_NAME

    def __init__(self, lightspeed_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lightspeed_conn_id = lightspeed_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of Airflow 2's connection form."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import PasswordField, StringField

        def field(facts: Mapping[str, Any]) -> Any:
            if facts["schema"].get("format") == "password":
                return PasswordField(lazy_gettext(facts["label"]), widget=BS3PasswordFieldWidget())
            return StringField(
                lazy_gettext(facts["label"]), widget=BS3TextFieldWidget(), description=facts["description"]
            )

        return {name: field(facts) for name, facts in CONN_FIELDS.items()}

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and hidden fields of Airflow 2's connection form."""
        return {
            "hidden_fields": list(UI_FIELD_BEHAVIOUR["hidden-fields"]),
            "relabeling": dict(UI_FIELD_BEHAVIOUR["relabeling"]),
            "placeholders": dict(UI_FIELD_BEHAVIOUR["placeholders"]),
        }

    @cached_property
    def client(self) -> RSeriesClient:
        """The client, made once per hook; safe among threads.

        :raises MissingCredentials: client ID or secret is absent.
        :raises InvalidArgument: a field of the connection is wrong.
        """
        from airflow_provider_lightspeed.client.rate_limit import limiter_for
        from airflow_provider_lightspeed.client.rest import RSeriesClient
        from airflow_provider_lightspeed.client.transport import RequestsTransport
        from airflow_provider_lightspeed.tokens.source import LedgerTokenSource, desk_for

        tokens = LedgerTokenSource(desk_for(self.lightspeed_conn_id))
        settings = tokens.view().settings
        return RSeriesClient(
            host=settings.host,
            tokens=tokens,
            transport=RequestsTransport(),
            account_id=settings.account_id,
            limiter=limiter_for((settings.host, settings.client_id, self.lightspeed_conn_id)),
            events=_Log(),
        )

    def get_conn(self) -> RSeriesClient:
        """Return the client."""
        return self.client

    def get_pages(
        self, resource: str, *, relations: str | Sequence[str] = (), filters: Mapping[str, Any] | None = None
    ) -> Iterator[Page]:
        """Return the pages of a resource, archived records included, each read when it is asked for.

        Secret fields hold ``(withheld)``; :meth:`get_arrow` returns those that ``columns`` names.

        :param resource: the API's own name, such as ``Sale``; see ``airflow lightspeed resources``.
        :param relations: relations to load, such as ``"SaleLines"`` or ``["SaleLines.Item"]``.
        :param filters: field to value or condition, such as ``{"completed": True, "total": ">,100"}``.
        :raises InvalidArgument: unknown resource, relation or filter field; before anything is sent.
        """
        from airflow_provider_lightspeed.arrow.secrets import without_secrets

        job = self._job(resource, relations, filters)
        entity = job.resource.entity.name
        return (replace(page, records=without_secrets(entity, page.records)) for page in self._pages(job))

    def get_records(
        self, resource: str, *, relations: str | Sequence[str] = (), filters: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Return the records of a resource as the API sends them, read page by page: every scalar is text.

        Secret fields hold ``(withheld)``.

        Arguments and errors are those of :meth:`get_pages`.
        """
        pages = self.get_pages(resource, relations=relations, filters=filters)
        return (record for page in pages for record in page.records)

    def get_batches(
        self,
        resource: str,
        *,
        relations: str | Sequence[str] = (),
        filters: Mapping[str, Any] | None = None,
        columns: str | Sequence[str] | None = None,
    ) -> pa.RecordBatchReader:
        """Return the records of a resource as typed Arrow batches, one per page, each read when it is asked for.

        Types and columns are those of the operator's files; relations are nested columns. What does not fit its column is
        in ``_extra``, and logged at the end.

        :param columns: top-level columns to keep, beside ``_extra`` and where a row comes from; default all.
        :raises InvalidArgument: as :meth:`get_pages`, or an unknown column.
        """
        import pyarrow as pa

        from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter

        job = self._job(resource, relations, filters, columns)
        client = self.get_conn()
        lineage = Lineage(client.account_id, client.server_now(), None, None)
        converter = RecordConverter(job.resource, job.relations, job.selection, lineage=lineage)

        def batches() -> Iterator[pa.RecordBatch]:
            yield from (converter.convert(page.records) for page in self._pages(job) if page.records)
            for (path, reason), count in sorted(converter.report.items()):
                log.warning("%s.%s: %d value(s) kept in _extra: %s", job.resource.name, path, count, reason)

        return pa.RecordBatchReader.from_batches(converter.schema, batches())

    def get_arrow(
        self,
        resource: str,
        *,
        relations: str | Sequence[str] = (),
        filters: Mapping[str, Any] | None = None,
        columns: str | Sequence[str] | None = None,
    ) -> pa.Table:
        """Return the records of a resource as a typed Arrow table; all of it is in memory.

        Without records it has the same schema and no rows. Arguments and errors are those of :meth:`get_batches`.
        """
        return self.get_batches(resource, relations=relations, filters=filters, columns=columns).read_all()

    def get_df(
        self,
        resource: str,
        *,
        relations: str | Sequence[str] = (),
        filters: Mapping[str, Any] | None = None,
        columns: str | Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return the records of a resource as a pandas DataFrame with Arrow-backed types: decimals stay decimals.

        Arguments and errors are those of :meth:`get_batches`.
        """
        import pandas as pd

        table = self.get_arrow(resource, relations=relations, filters=filters, columns=columns)
        frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def count(self, resource: str, *, filters: Mapping[str, Any] | None = None) -> int:
        """Return how many records a resource has, archived ones included unless filtered; costs 10 bucket units."""
        from airflow_provider_lightspeed.extract.pages import count_records

        return count_records(self.get_conn(), self._plan(self._job(resource, (), filters)))

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the stored grant reads the account.

        A refresh token that is not stored yet is never spent: its successor could not be saved.
        """
        from airflow_provider_lightspeed.tokens.probe import probe

        return probe(self.lightspeed_conn_id)

    def keep_alive(self) -> dict[str, Any]:
        """Make sure that the connection has a fresh access token, and return its deadlines, as ISO 8601 texts.

        A refresh token that is not used for 30 days dies; a DAG that runs this once a week keeps a quiet one alive.

        :raises LightspeedAuthError: a person is needed.
        """
        from airflow_provider_lightspeed.tokens.keep_alive import keep_alive

        kept = keep_alive(self.lightspeed_conn_id)
        lapses_at = kept.lapses_at.isoformat() if kept.lapses_at else None
        return {"generation": kept.generation, "expires_at": kept.expires_at.isoformat(), "lapses_at": lapses_at}

    @staticmethod
    def _job(
        resource: str,
        relations: str | Sequence[str],
        filters: Mapping[str, Any] | None,
        columns: str | Sequence[str] | None = None,
    ) -> Job:
        from airflow_provider_lightspeed.extract.plan import Job

        return Job.of(resource, mode="full", relations=relations, filters=filters, columns=columns)

    def _pages(self, job: Job) -> Iterator[Page]:
        from airflow_provider_lightspeed.extract.pages import read_pages

        yield from read_pages(self.get_conn(), self._plan(job))

    def _plan(self, job: Job) -> Plan:
        from airflow_provider_lightspeed.extract.plan import make_plan
        from airflow_provider_lightspeed.extract.window import SETTLE, Window
        from airflow_provider_lightspeed.lake.records import ReadState

        return make_plan(job, Window(None, self.get_conn().server_now() + SETTLE), ReadState())


class _Log:
    """Says in the task log why a request is repeated."""

    def retrying(self, details: RetryDetails) -> None:
        """Before the wait."""
        log.warning(
            "%s: try %d failed (%s); next in %.1f s", details.path, details.attempt, details.reason, details.wait
        )

    def mispriced(self, path: str, expected: float, charged: float) -> None:
        """Once per path."""
        log.warning(
            "%s: priced at %g, charged %g; the pace follows what is charged. The rules may have changed: please report it",
            path, expected, charged,
        )  # fmt: skip
