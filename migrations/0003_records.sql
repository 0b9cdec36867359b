-- What everybody does as one stream, the lists that a track is on, and albums: a name on tracks, and a list of them.

create index likes_stream on likes (sort_at desc, uri desc);
create index comments_stream on comments (sort_at desc, uri desc);
create index lists_stream on lists (sort_at desc, uri desc);

alter table list_items add column sort_at timestamptz;     -- that of the list
update list_items set sort_at = lists.sort_at from lists where lists.uri = list_items.list;
delete from list_items where sort_at is null;               -- of no list
alter table list_items alter column sort_at set not null;
create index list_items_newest on list_items (subject, sort_at desc, list desc);

-- A name as it is compared with another: without regard to case, nor to how much space there is.
create function folded(name text) returns text
    language sql immutable strict parallel safe
    return lower(btrim(regexp_replace(name, '\s+', ' ', 'g')));

-- The hash, since a name may be longer than a key.
create index tracks_of_album on tracks (did, md5(folded(album)), sort_at desc, uri desc) where album is not null;
