-- Feeds of all accounts, newest first.

create index generators_newest on generators (sort_at desc, uri desc);
