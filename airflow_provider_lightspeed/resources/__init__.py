"""What can be read: every list resource of the API with its fields, relations and incremental strategy. No pyarrow."""
