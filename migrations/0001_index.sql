-- The index: what the repositories of all who write fm.plyr.* hold, as far as it was proven. All of it can be thrown
-- away and built again from their PDSes.
--
-- Identifiers are COLLATE "C": revs, TIDs and URIs are ordered as bytes, and keyset and prefix scans depend on it.
-- No foreign key leads to a record: a like may arrive before its track, and outlives it.

-- --- accounts ---

create table actors (
    did text collate "C" primary key,
    handle text collate "C",                    -- verified both ways; null is shown as handle.invalid
    pds text,                                   -- the origin of the account's PDS, as its DID document has it
    active boolean not null default true,       -- what its host says
    status text,                                -- why not active: deactivated, takendown, suspended, deleted, ...
    taken_down boolean not null default false,  -- by our own operators
    visible boolean not null generated always as (active and not taken_down) stored,
    identity_at timestamptz,                    -- when its DID and handle were last resolved
    status_at timestamptz,                      -- when its host was last asked, or last told us
    first_seen_at timestamptz not null default now()
);
create unique index actors_handle on actors (handle) where handle is not null;
create index actors_hidden on actors (did) where not visible;
create index actors_by_identity on actors (identity_at) where active;
create index actors_without_handle on actors (identity_at) where active and handle is null;

-- --- repositories: the state of each chain ---

create table repos (
    did text collate "C" primary key,
    status text not null check (status in ('synchronized', 'desynchronized', 'in_progress')),
    rev text collate "C",                       -- the last commit whose records are all here, with data and commit_cid
    data bytea,
    commit_cid bytea,
    needs_rev text collate "C",                 -- a fetch must bring at least this one: it was proven to exist
    reason text not null,                       -- why the status is what it is
    status_at timestamptz not null,             -- since when
    proven_by text check (proven_by in ('live', 'fetch')),
    proven_at timestamptz,
    fetched_at timestamptz
);
create index repos_behind on repos (status_at) where status <> 'synchronized';

-- --- records: the truth, whole ---

create table records (
    uri text collate "C" primary key,
    did text collate "C" not null,
    collection text collate "C" not null,
    rev text collate "C" not null,              -- of the commit, or of the fetched repository, that proved this version
    cid bytea,                                  -- null: a tombstone
    value bytea,                                -- the record's own DAG-CBOR
    verdict text check (verdict in ('ok', 'tolerated', 'rejected')),
    deviations jsonb,                           -- [{path, rule, detail}] of what is tolerated or rejected
    sort_at timestamptz,                        -- fixed at first sight
    first_seen_at timestamptz not null,
    indexed_at timestamptz not null,
    proven_by text not null check (proven_by in ('live', 'fetch')),
    check ((cid is null) = (value is null) and (cid is null) = (verdict is null))
);
create index records_odd on records (verdict, uri) where verdict in ('tolerated', 'rejected');

-- --- projections: what queries ask for, one row for each shown record; `sort_at` is that of the record ---

create table tracks (
    uri text collate "C" primary key,
    did text collate "C" not null,
    title text not null,
    artist text not null,
    album text,
    duration integer,                           -- seconds
    image_url text,
    gated boolean not null,
    sort_at timestamptz not null
);
create index tracks_newest on tracks (sort_at desc, uri desc);
create index tracks_by_author on tracks (did, sort_at desc, uri desc);

create table likes (
    uri text collate "C" primary key,
    did text collate "C" not null,
    subject text collate "C" not null,          -- a track's uri, whether or not the track is here
    sort_at timestamptz not null
);
create index likes_of_subject on likes (subject, sort_at desc, uri desc);
-- One key of both: whatever the planner believes of a young table, it finds no index of one half to use instead.
create index likes_of_pair on likes ((did || ' ' || subject), sort_at);
create index likes_by_author on likes (did, sort_at desc, uri desc);

create table comments (
    uri text collate "C" primary key,
    did text collate "C" not null,
    subject text collate "C" not null,
    timestamp_ms bigint not null,
    sort_at timestamptz not null
);
create index comments_by_position on comments (subject, timestamp_ms, uri);
create index comments_newest on comments (subject, sort_at desc, uri desc);
create index comments_by_author on comments (did, sort_at desc, uri desc);

create table lists (
    uri text collate "C" primary key,
    did text collate "C" not null,
    name text,
    list_type text,
    inherited text[] not null default '{}',     -- of name and listType, those that only an earlier version had
    item_count integer not null,
    sort_at timestamptz not null
);
create index lists_by_author on lists (did, sort_at desc, uri desc);
create index lists_by_type on lists (did, list_type, sort_at desc, uri desc);

create table list_items (
    list text collate "C" not null,
    position integer not null,                  -- from 0, as in the record, entries without a subject left out
    subject text collate "C" not null,
    subject_cid text,
    primary key (list, position)
);
create index list_items_of_subject on list_items (subject, list);

create table profiles (
    did text collate "C" primary key,
    uri text collate "C" not null unique,
    bio text,
    avatar text
);

create table bsky_profiles (
    did text collate "C" primary key,
    uri text collate "C" not null unique,
    display_name text,
    description text,
    avatar_cid text
);

create table follows (
    uri text collate "C" primary key,
    did text collate "C" not null,
    subject text collate "C" not null,          -- a DID
    sort_at timestamptz not null
);
create index follows_of_subject on follows (subject, did);
create index follows_by_author on follows (did, subject);

create table plays (
    uri text collate "C" primary key,
    did text collate "C" not null,
    subject text collate "C",                   -- a track's uri; null: not matched
    played_at timestamptz,
    sort_at timestamptz not null
);
create index plays_of_subject on plays (subject, sort_at desc) where subject is not null;
create index plays_by_author on plays (did, sort_at desc, uri desc);

create table generators (
    uri text collate "C" primary key,
    did text collate "C" not null,
    service text collate "C" not null,          -- the DID that answers
    display_name text not null,
    sort_at timestamptz not null
);
create index generators_by_author on generators (did, sort_at desc, uri desc);

-- --- counts, exact, kept in the transaction that changes what they count ---

create table subject_counts (
    subject text collate "C" primary key,       -- a track's uri, whether or not the track is here
    likes bigint not null default 0,            -- distinct visible accounts that like it
    comments bigint not null default 0,         -- comments of visible accounts
    lists bigint not null default 0             -- lists of visible accounts that hold it
) with (fillfactor = 70);

create table actor_counts (
    did text collate "C" primary key,
    tracks bigint not null default 0,
    lists bigint not null default 0,
    likes bigint not null default 0,            -- distinct tracks liked, whether or not the track is here
    followers bigint not null default 0         -- distinct visible tracked accounts that follow it
) with (fillfactor = 70);

create table totals (
    name text primary key,                      -- a collection's short name: track, like, comment, ...
    n bigint not null default 0                 -- shown records of visible accounts
);

-- --- the ingester ---

create table shards (
    shard text primary key,                     -- '0/1'
    epoch bigint not null default 0,            -- the writer whose epoch this is may write; an older one is fenced off
    status jsonb,                               -- what the running ingester last said of itself
    metrics text,                               -- and its metrics, in the exposition format of Prometheus
    status_at timestamptz
);

create table upstreams (
    shard text not null,
    url text not null,
    cursor bigint,                              -- everything up to this seq is in the index
    primary key (shard, url)
);

create table discoveries (
    source text not null,                       -- the origin that is asked
    collection text collate "C" not null,       -- '' where all repositories are listed
    cursor text,                                -- where to go on; null before the first page and after the last
    found bigint not null default 0,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    primary key (source, collection)
);

create table held_frames (
    id bigint generated always as identity primary key,
    did text collate "C" not null,
    frame bytea not null,
    reason text not null,
    received_at timestamptz not null
);
create index held_frames_of_did on held_frames (did, id);

create table dead_letters (
    id bigint generated always as identity primary key,
    upstream text not null,
    seq bigint,
    did text collate "C",
    reason text not null,
    detail text not null,
    frame bytea,                                -- null where it was too large to keep
    received_at timestamptz not null
);
create index dead_letters_of_did on dead_letters (did, id) where did is not null;

-- A job is a row, written in the transaction that wants it; at most one of a kind for a subject. Whoever does it deletes
-- the row only if `wanted` is still what it was: what was asked for meanwhile is done again.
create table jobs (
    kind text not null,                         -- fetch, drain, status, identity
    subject text collate "C" not null,          -- a DID
    wanted bigint not null default 1,
    due_at timestamptz not null default now(), -- when it may be taken; of a leased one, when the lease runs out
    leased boolean not null default false,      -- somebody is doing it
    attempts integer not null default 0,        -- how often it was taken
    note text,                                  -- why it was wanted
    error text,                                 -- how the last attempt failed
    created_at timestamptz not null default now(),
    primary key (kind, subject)
);
create index jobs_due on jobs (kind, due_at);

-- How far a long command has come, so that one that was stopped goes on from there.
create table places (
    task text primary key,                      -- reindex
    place text collate "C" not null,            -- the last uri that is done
    done bigint not null                        -- how many those are
);

create table did_documents (
    did text collate "C" primary key,
    document jsonb not null,
    fetched_at timestamptz not null
);
