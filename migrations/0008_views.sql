-- What every answer with tracks needs stands beside the track itself, so that a page of them is read from narrow rows:
-- the record's bytes are fetched where they are not in memory.

alter table tracks
    add column cid bytea,
    add column indexed_at timestamptz,
    add column size integer;                    -- of the record, in bytes
update tracks set cid = records.cid, indexed_at = records.indexed_at, size = octet_length(records.value)
    from records where records.uri = tracks.uri;
alter table tracks
    alter column cid set not null,
    alter column indexed_at set not null,
    alter column size set not null;

-- Whether the profile bears labels of its own: then its record is looked at. Rows from before are, until `reindex`.
alter table bsky_profiles add column labelled boolean not null default true;
