-- What was asked of the accounts' own PDSes. Each write is committed here before its PDS is asked, so that whatever a
-- crash or a lost reply leaves behind is settled by looking at the PDS. Nothing here is shown to anybody: what readers
-- see is the index, and the truth is the repository.

create table write_intents (
    id bigint generated always as identity primary key,
    did text collate "C" not null,
    method text not null check (method in ('create', 'put', 'delete', 'apply')),
    uris text[] collate "C" not null,
    cids bytea[] not null,                      -- of what will be under each uri; null: nothing
    blocks bytea[] not null,                    -- the records' own DAG-CBOR; empty once they are not needed any more
    swap bytea,                                 -- the CID of the version that one record was to replace, where known
    key text collate "C",                       -- the caller's idempotency key
    request bytea,                              -- SHA-256 of what was asked under that key
    state text not null default 'intended' check (state in (
        'intended',                             -- nobody knows yet whether it was done
        'written',                              -- the PDS has it, and the index may not yet
        'settled',                              -- the PDS has it, and the index has it or what came after it
        'refused',                              -- the PDS said no
        'abandoned'                             -- it is not at the PDS
    )),
    rev text collate "C",                       -- of a commit as of which it is so; null where nothing had to change
    commit_cid text,                            -- of that commit
    attempts integer not null default 0,        -- how often it was looked for after its request had ended
    error text,                                 -- what the PDS said last
    created_at timestamptz not null default now(),
    held_until timestamptz not null,            -- until then somebody is at it
    check ((key is null) = (request is null)),
    check (cardinality(cids) = cardinality(uris) and cardinality(blocks) in (0, cardinality(uris)))
);
create unique index write_intents_by_key on write_intents (did, key) where key is not null;
create index write_intents_of_account on write_intents (did);
create index write_intents_open on write_intents (held_until) where state in ('intended', 'written');
create index write_intents_over on write_intents (created_at) where state not in ('intended', 'written');
