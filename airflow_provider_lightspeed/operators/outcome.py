"""What a finished extract leaves behind for those who ask about it afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.links.location import Location


@dataclass(frozen=True, slots=True)
class Outcome:
    """An extract, committed.

    :param source: the address of the list at the API.
    :param location: the dataset's folder.
    """

    job: Job
    source: str
    location: Location
    summary: Summary
