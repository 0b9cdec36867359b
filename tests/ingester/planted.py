"""Differences from a PDS, planted with SQL: one record of the repository `{did}`, under a head that is equal."""

_FIRST = "(select min(uri) from records)"

PLANTS = {
    "lost": f"delete from records where uri = {_FIRST}",
    "deleted": f"update records set cid = null, value = null, verdict = null, deviations = null where uri = {_FIRST}",
    "spoiled": f"update records set value = value || '\\x00'::bytea where uri = {_FIRST}",
    "another": "update records set (cid, value) = (select cid, value from records order by uri desc limit 1)"
    f" where uri = {_FIRST}",
    "added": "insert into records select 'at://{did}/fm.plyr.track/3zzzzzzzzzzzz', did, collection, rev, cid, value,"
    " verdict, deviations, sort_at, first_seen_at, indexed_at, proven_by"
    f" from records where uri = {_FIRST}",
}
