"""Where a dataset is kept: storage, the log of commits, what is live, compaction. It knows no API and no Airflow."""
