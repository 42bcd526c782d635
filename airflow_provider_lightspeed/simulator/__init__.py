"""A strict simulator of the Lightspeed Retail (R-Series) API: one process, no Airflow, nothing of this package."""
