"""Postgres and Redis where none are given: servers of our own in the data folder, for as long as they are needed."""
