"""The index: what proven records become in Postgres."""
