"""Airflow's home for the token ledger: the metadata database, and the refresh trigger for tasks that cannot reach it."""
