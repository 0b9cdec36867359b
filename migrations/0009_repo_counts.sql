-- How many repositories are how far: what is asked for all the time is not counted each time. The database keeps it itself,
-- since several statements write `repos`. Most change no status, and cost nothing here.

create table repo_counts (
    status text primary key,
    n bigint not null default 0
) with (fillfactor = 50);
insert into repo_counts (status, n) select status, count(*) from repos group by status;

create function count_repos_that_came() returns trigger language plpgsql as $$
begin
    if exists (select from come) then
        insert into repo_counts as held (status, n) select status, count(*) from come group by status order by status
        on conflict (status) do update set n = held.n + excluded.n;
    end if;
    return null;
end
$$;
create trigger repos_come after insert on repos
    referencing new table as come for each statement execute function count_repos_that_came();

create function count_repo_that_moved() returns trigger language plpgsql as $$
begin
    insert into repo_counts as held (status, n)
    select * from (values (old.status, -1), (new.status, 1)) as moved (status, n) where status is not null order by status
    on conflict (status) do update set n = held.n + excluded.n;
    return null;
end
$$;
create trigger repos_move after update of status on repos
    for each row when (old.status <> new.status) execute function count_repo_that_moved();
create trigger repos_go after delete on repos
    for each row execute function count_repo_that_moved();

create function count_no_repos() returns trigger language plpgsql as $$
begin
    delete from repo_counts;
    return null;
end
$$;
create trigger repos_emptied after truncate on repos for each statement execute function count_no_repos();
