"""The fixture of the tests of the search: `index`, which writes records as the ingester does."""

import pytest

from appview.db import Connection
from tests.index_writer import IndexWriter


@pytest.fixture
def index(connection: Connection) -> IndexWriter:
    return IndexWriter(connection)
