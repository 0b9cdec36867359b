-- What a listener chose, which no PDS holds; and the likes that are being written.

create table preferences (
    did text collate "C" primary key,
    value jsonb not null,                       -- an array of objects, each of which says by its $type what it is
    updated_at timestamptz not null default now()
);

-- A like that was asked for and is not in the index yet, under the key that it will have: whoever asks again meanwhile
-- means the same record.
create table coming_likes (
    did text collate "C" not null,
    subject text collate "C" not null,
    rkey text collate "C" not null,
    subject_cid text not null,
    asked_at timestamptz not null default now(),
    held_until timestamptz not null,            -- until then somebody is at it
    primary key (did, subject)
);
