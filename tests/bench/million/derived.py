"""What is derived from a whole index, as the code that keeps it would have left it: what search needs, and rankings."""

from collections.abc import Callable

from appview.db import Connection
from appview.index import rankings
from appview.index.search.fill import fill
from tests.bench.million.times import instant

Say = Callable[[str], None]

_SEARCHED = "search_documents, search_names, search_postings, search_words"


async def derive(connection: Connection, end_ms: int, say: Say) -> None:
    """Make it anew, rankings as of the end of the network."""
    say("what is searched ...")
    await fill(connection)
    await connection.execute(f"vacuum (freeze, analyze) {_SEARCHED}")
    say("rankings ...")
    await connection.execute("delete from rankings")
    for name in rankings.NAMES:
        await rankings.make(connection, name, instant(end_ms))
    await connection.execute("vacuum (analyze) rankings, ranked")
