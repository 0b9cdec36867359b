-- What tracks, lists and accounts are found by, kept in the transaction that changes them. Texts are folded
-- (appview/index/search/fold.py): small letters without accents, words divided by single spaces.
--
-- A popular word stands in a hundred thousand titles, and a page shows fifty: so nothing here is ever ranked when it is
-- asked for. `level` is how popular a document is, on a coarse scale that moves seldom, and stands in each key before the
-- text: the first of the highest level is where a scan begins, and it ends when the page is full.

create table search_documents (
    id bigint primary key,                      -- search_id(key)
    kind smallint not null,                     -- 1: an account, 2: a track, 3: a list
    level smallint not null,
    key text collate "C" not null,              -- what is shown: a DID for accounts, else a uri
    did text collate "C" not null,
    names text[] collate "C" not null,          -- what it is called, in full: a title; a handle, a display name
    words text collate "C" not null             -- each once, a space before and behind each
);

create table search_names (
    kind smallint not null,
    level smallint not null,
    name text collate "C" not null,
    id bigint not null,
    primary key (kind, level, name, id)
);

create table search_postings (
    kind smallint not null,
    level smallint not null,
    word text collate "C" not null,
    id bigint not null,
    primary key (kind, level, word, id)
);

-- The dictionary: which words there are, and in how many documents. A misspelt word is looked for here.
create table search_words (
    word text collate "C" primary key,
    n bigint not null
) with (fillfactor = 80);

-- The same in Python: appview/index/search/documents.py.
create function search_id(key text) returns bigint
    language sql immutable strict parallel safe
    return ('x' || left(md5(key), 16))::bit(64)::bigint;

create function search_level(popularity bigint) returns smallint
    language sql immutable strict parallel safe
    return width_bucket(popularity, array[2, 16, 128, 1024, 8192]::bigint[])::smallint;

-- What is left of the first seven letters of a word without any one of them, and of one with six letters or more without
-- any two: two words that are so many slips apart (a letter too many, missing, changed, or two exchanged) have some of it
-- in common.
create function search_near(word text) returns text[]
    language sql immutable strict parallel safe cost 10000
    begin atomic
        select array_agg(distinct left(head, i - 1) || substr(head, i + 1, j - i - 1) || substr(head, j + 1))
        from (select left(word, 7) as head, least(length(word), 7) as n, length(word) / 3 as slips) as cut,
            generate_series(1, n + 1) as i, generate_series(i + 1, n + 2) as j
        where (i <= n)::integer + (j <= n)::integer <= slips;
    end;

-- Every three letters in a row, by which a word is found that another one is within.
create function search_parts(word text) returns text[]
    language sql immutable strict parallel safe cost 10000
    begin atomic
        select array_agg(distinct substr(word, i, 3)) from generate_series(1, length(word) - 2) as i;
    end;

create index search_words_near on search_words using gin (search_near(word)) with (fastupdate = off)
    where length(word) >= 3;
create index search_words_parts on search_words using gin (search_parts(word)) with (fastupdate = off)
    where length(word) >= 3;
