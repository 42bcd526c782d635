"""The R-Series API over HTTP: transport, rate limit, retries, paging, queries. Knows nothing of resources or Airflow."""
