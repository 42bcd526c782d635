"""From a resource to a committed dataset: which rows, read how, published so that no reader sees half. No Airflow."""
