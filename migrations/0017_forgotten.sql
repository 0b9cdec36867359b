-- Accounts of which something private was forgotten, so that no older backup brings it back. Unlike an erasure, it stays
-- when the account returns: what it has since is newer.

create table forgotten (
    account bytea primary key,                  -- SHA-256 of the DID
    at timestamptz not null                     -- the last time; all that was private and is older is gone
);
