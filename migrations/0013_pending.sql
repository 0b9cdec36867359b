-- What is written through us is shown as soon as its PDS has taken it, before anything has proven it. It is proven when
-- the repository's chain comes to it, live or fetched; what the chain passes by without it is taken back.

alter table records
    drop constraint records_proven_by_check,
    add constraint records_proven_by_check check (proven_by in ('live', 'fetch', 'write'));

-- A record that is shown as it was written through us, and what was there before, to be put back: nothing, if there is no
-- `before_rev`; a tombstone, if there is no `before_cid`.
create table pending (
    uri text collate "C" primary key,
    did text collate "C" not null,
    rev text collate "C" not null,              -- that the PDS said our last write of it has
    written_at timestamptz not null,            -- when it said so
    since timestamptz not null,                 -- the same of the first of these writes: those before it were seen
    fetch_at timestamptz,                       -- when its repository was last wanted for this write's sake
    before_rev text collate "C",
    before_cid bytea,
    before_value bytea,
    before_verdict text,
    before_deviations jsonb,
    before_sort_at timestamptz,
    before_first_seen_at timestamptz,
    before_indexed_at timestamptz,
    before_proven_by text,
    before_inherited jsonb                      -- what was shown of it and stood in an older version alone
);
create index pending_of_account on pending (did);

-- What became of writes through us, and how many seconds that took: a histogram, each amount in one place of it.
create table echoes (
    outcome text not null check (outcome in ('seen', 'fetched', 'rolled_back')),
    le double precision not null,               -- seconds, no more than that; 'Infinity': more than all others
    n bigint not null,
    seconds double precision not null,          -- in sum
    primary key (outcome, le)
);

-- Whether the firehose brings back what is written through us, by the PDS that took it. Some hours are remembered.
create table echo_hosts (
    pds text primary key,
    seen_at timestamptz,                        -- when a write there was last found to have come back
    missed_at timestamptz                       -- when one was last found not to have, and was fetched or taken back
);
