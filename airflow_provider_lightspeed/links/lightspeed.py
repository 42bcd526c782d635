"""The buttons of an extract's task instance in Airflow.

Airflow 3 asks for them in the task's process, right after it ended, and keeps the answers as XComs. Airflow 2 asks
whenever somebody looks, in the webserver, which knows the task by its serialized form only: there the operator stores them.
Both draw http and https addresses only; a local folder has no button of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS, BaseOperatorLink, stored_xcom
from airflow_provider_lightspeed.exceptions import InvalidArgument

if TYPE_CHECKING:
    from airflow_provider_lightspeed.compat import BaseOperator


class _Link(BaseOperatorLink):
    """A link that the operator holds by its XCom key once the extract is committed."""

    xcom_key: str

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, or an empty text if there is none."""
        links: dict[str, str] = getattr(operator, "_links", {})
        stored = links.get(self.xcom_key) if AIRFLOW_V_3_0_PLUS else stored_xcom(ti_key, self.xcom_key)
        return stored or self.otherwise(operator)

    def otherwise(self, operator: BaseOperator) -> str:
        """Return the address of a task that has not finished."""
        del operator
        return ""


class DatasetLink(_Link):
    """The folder in the console of its storage (S3, Google Cloud Storage); else the asset in Airflow, if there is one."""

    name = "Dataset"
    xcom_key = "lightspeed_dataset"


class LightspeedLink(_Link):
    """The resource in Lightspeed's documentation.

    The back office has addresses of its own for every region and states none of them, so that no link can be derived.
    """

    name = "Lightspeed"
    xcom_key = "lightspeed_resource"

    def otherwise(self, operator: BaseOperator) -> str:
        """Return the address also of a task that failed: what it asked for may be what is wrong."""
        from airflow_provider_lightspeed.resources.catalog import resource

        try:
            return resource(str(getattr(operator, "resource", ""))).docs_url
        except InvalidArgument:
            return ""
