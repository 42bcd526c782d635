"""What Airflow 3's API server mounts: the refresh trigger."""
