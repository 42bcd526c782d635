"""Records to Arrow and Parquet, typed by the catalog. Knows neither HTTP nor Airflow."""
