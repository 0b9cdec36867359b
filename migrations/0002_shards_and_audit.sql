-- Several ingesters share one index, and what is held is compared with the PDSes, one repository after the other.

-- Which of so many shards a DID belongs to. The ingester computes the same (ingester/shard.py).
create function shard_of(did text, shards integer) returns integer
    language sql immutable strict parallel safe
    return ('x' || left(md5(did), 4))::bit(16)::integer % shards;

alter table repos add column audited_at timestamptz;    -- when its PDS was last asked whether it has the same
create index repos_by_audit on repos (audited_at nulls first, did);

alter table discoveries add column again boolean not null default false;    -- another pass is to follow this one

create index dead_letters_of_reason on dead_letters (reason, id);
