-- Who is signed in here, and what lets us write to their repositories: state of our own, which no PDS holds.
--
-- Nothing here is of use to whoever reads only the database. What acts for somebody is sealed under a key that is not in
-- it (appview/accounts/vault.py), and what a browser or a program shows us is kept as the SHA-256 of 256 random bits.

-- --- signing in ---

create table oauth_requests (
    state bytea primary key,                    -- SHA-256 of the `state` that the server gives back
    browser bytea not null,                     -- SHA-256 of the cookie of the browser that began
    sealed bytea not null,                      -- the verifier, the DPoP key, who is expected, what it is all for
    expires_at timestamptz not null
);
create index oauth_requests_over on oauth_requests (expires_at);

-- --- grants: what an account allowed us at its PDS; each browser and each developer token has its own ---

create table grants (
    id bigint generated always as identity primary key,
    did text collate "C" not null,
    kind text not null check (kind in ('session', 'token')),
    -- new: no browser and no token has it yet; ending: it is over, and its server is still to be told
    state text not null default 'new' check (state in ('new', 'live', 'ending', 'ended')),
    reason text,                                -- why it is over
    issuer text not null,
    scope text not null,                        -- as granted
    key_id text,                                -- of the client's key that it began with; null: a public client
    sealed bytea,                               -- the tokens and the DPoP key; null once it has ended
    version bigint not null default 1,          -- counted up with each new tokens
    lease bigint not null default 0,            -- counted up by each that takes it, to refresh or to revoke
    leased_until timestamptz,                   -- null: nobody has it
    asked_at timestamptz,                       -- when new tokens were asked for; null: every answer has come
    away_until timestamptz,                     -- its server could not be asked, and is left alone until then
    created_at timestamptz not null default now(),
    refreshed_at timestamptz,
    over_at timestamptz,                        -- since when it is neither new nor live
    check ((state = 'ended') = (sealed is null)),
    check ((state in ('new', 'live')) = (over_at is null) and (reason is null) = (over_at is null))
);
create index grants_of_account on grants (did, id desc);
create index grants_new on grants (created_at) where state = 'new';
create index grants_over on grants (over_at) where over_at is not null;

-- --- browsers: one cookie each, and the accounts that are signed in with it ---

create table browsers (
    id bigint generated always as identity primary key,
    cookie bytea not null unique,               -- SHA-256 of it; another at each sign-in
    signed_in_at timestamptz not null default now(), -- the last time
    seen_at timestamptz not null default now()  -- to the hour
);
create index browsers_by_seen on browsers (seen_at);
create index browsers_by_sign_in on browsers (signed_in_at);

create table browser_accounts (
    browser bigint not null references browsers on delete cascade,
    did text collate "C" not null,
    grant_id bigint not null unique references grants on delete cascade,
    chosen_at timestamptz not null,             -- the one chosen last is who the browser acts as
    primary key (browser, did)
);

-- --- developer tokens ---

create table developer_tokens (
    id bigint generated always as identity primary key,
    digest bytea not null unique,               -- SHA-256 of its text, which was shown once
    did text collate "C" not null,
    grant_id bigint not null unique references grants on delete cascade,
    name text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz                         -- to the minute
);
create index developer_tokens_of_account on developer_tokens (did, id desc);
create index developer_tokens_over on developer_tokens (expires_at);
