-- Accounts whose owners want to be forgotten here, and how far that has come. What is over stays as one line, so that
-- discovery, which lists whoever ever wrote a record of ours, does not bring them back: that is for themselves to do.

create table erasures (
    did text collate "C" primary key,
    state text not null check (state in (
        'deleting',                             -- their records of ours are being deleted at their PDS
        'echo',                                 -- until the index has heard of that
        'forgetting',                           -- what is private is going
        'purging',                              -- and what is indexed
        'done'
    )),
    records boolean not null,                   -- whether the records at their PDS were to be deleted
    grant_id bigint,                            -- by which they are; no foreign key: it goes with all the rest
    deleted bigint not null default 0,          -- how many of them were
    rev text collate "C",                       -- of the last commit that did so
    reason text,                                -- why it waits; of what is done, why records were left at the PDS
    requested_at timestamptz not null default now(),
    changed_at timestamptz not null default now(), -- since when the state is what it is
    check ((grant_id is not null) = (state = 'deleting'))
);
create index erasures_open on erasures (did) where state <> 'done';

-- Whoever is followed again has come back.
create function forget_erasures() returns trigger language plpgsql as $$
begin
    delete from erasures where state = 'done' and did in (select did from come);
    return null;
end
$$;
create trigger repos_return after insert on repos
    referencing new table as come for each statement execute function forget_erasures();
