-- An account of any size is hidden, or shown again, at once; what it adds to the counts follows in steps.

-- While an account has a row here, the counts are on their way: what it adds to them up to and with `place`, in the order
-- of appview/index/counted.py, is counted if `adds`, and what lies behind it if not. Without a row, all of it is counted if
-- the account is visible.
create table shifts (
    did text collate "C" primary key,
    adds boolean not null,                      -- whether this adds to the counts, or takes from them
    place text collate "C" not null             -- how far it has come
) with (fillfactor = 50);
