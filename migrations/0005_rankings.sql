-- Rankings: what is top and what is trending is computed ahead, and kept while somebody may still be paging through it.
-- They are derived, and may be emptied at any time.

create table rankings (
    id bigint generated always as identity primary key,
    name text not null,                         -- trending, top-day, top-week, top-month, top-all
    at timestamptz not null,                    -- the instant it is of
    checked_at timestamptz not null,            -- when it was last made, with this outcome
    seconds double precision not null,          -- how long that took
    unique (name, at)
);

create table ranked (
    ranking bigint not null references rankings on delete cascade,
    place integer not null,                     -- from 1
    uri text collate "C" not null,              -- a track
    votes bigint not null,                      -- likes, or listeners
    primary key (ranking, place)
);

create index plays_newest on plays (sort_at desc, uri desc) where subject is not null;
