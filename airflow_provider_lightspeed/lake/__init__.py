"""Where a dataset is kept: storage, the log of commits, what is live, compaction. It knows no API and no Airflow."""

from airflow_provider_lightspeed.lake.reading import read_current

__all__ = ["read_current"]
