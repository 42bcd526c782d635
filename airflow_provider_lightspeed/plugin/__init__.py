"""What Airflow 3's API server mounts: the pages and the refresh trigger."""
