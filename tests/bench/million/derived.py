"""What is derived from a whole index, as the code that keeps it would have left it: what search needs, and rankings."""

from collections.abc import Callable

from appview.db import Connection
from appview.index import rankings
from appview.index.search.fill import fill
from tests.bench.million.times import instant

Say = Callable[[str], None]


async def derive(connection: Connection, end_ms: int, say: Say) -> None:
    """Make what is not there, rankings as of the end of the network."""
    if not await connection.fetchval("select exists (select from search_documents)"):
        say("what is searched ...")
        await fill(connection)
        await connection.execute(
            "vacuum (freeze, analyze) search_documents, search_names, search_postings, search_words"
        )
    for name in rankings.NAMES:
        if not await connection.fetchval("select exists (select from rankings where name = $1)", name):
            say(f"the ranking {name} ...")
            await rankings.make(connection, name, instant(end_ms))
    await connection.execute("vacuum (analyze) rankings, ranked")
