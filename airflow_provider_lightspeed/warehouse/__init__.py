"""From the catalog to a warehouse: tables, merges, views of what is current, and which files are still to load."""
