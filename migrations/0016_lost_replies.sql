-- What a write was made on top of, so that after a lost reply it is known whether anything was done since; and what
-- nobody can tell any more, which is never made again.

alter table write_intents
    add column base text,                       -- the CID of the commit that was the newest before it was first asked
    drop constraint write_intents_state_check,
    add constraint write_intents_state_check check (
        state in ('intended', 'written', 'settled', 'refused', 'abandoned', 'unknown')
    );
