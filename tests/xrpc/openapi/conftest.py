"""A writer to the index of this test."""

import pytest

from appview.db import Connection
from tests.index_writer import IndexWriter


@pytest.fixture
def index(connection: Connection) -> IndexWriter:
    """Writes to this test's database."""
    return IndexWriter(connection)
