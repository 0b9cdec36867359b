-- However often a track stands on lists, it is seen at once on which albums of its author's; and of however many follows of
-- one account, which is the earliest.

-- Whether the list is an album of the track's own author, and this the first place there that the track has.
alter table list_items add column own_album boolean not null default false;
update list_items set own_album = true
    from (
        select distinct on (list, subject) list, position
        from list_items join lists on lists.uri = list
        where list_type = 'album' and starts_with(subject, 'at://' || did || '/')
        order by list, subject, position
    ) as held
    where list_items.list = held.list and list_items.position = held.position;
create index list_items_own_albums on list_items (subject, list) where own_album;

drop index follows_by_author;
create index follows_by_author on follows (did, subject, sort_at);
