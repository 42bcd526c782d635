"""Apache Airflow provider for the Lightspeed Retail POS (R-Series) API."""

__version__ = "0.1.0"
