"""What the application keeps, and what is recorded so that a run can be judged afterwards.

`ledger` has a row for every job that was committed, written in the same transaction: it says what has to exist.
`effect` has a row for everything a handler did. `once` has what handlers did in the transaction that completes their
job. The rest is written by triggers, in the transactions that did it: `body` and `attempt` repeat what Awa forgets when
it drops a segment, and `lease` has a row whenever a job enters or leaves the lease of a worker. So who owned a job when
it was settled is no matter of belief.
"""

from __future__ import annotations

from typing import Any

import psycopg

TABLES = """
create schema chaos;
create table chaos.ledger (n text primary key, kind text not null);
create table chaos.effect (
  id bigint generated always as identity primary key, n text not null, job bigint not null, attempt integer not null,
  pid integer not null, what text not null, at timestamptz not null default clock_timestamp()
);
create index on chaos.effect (job);
create table chaos.once (n text not null, job bigint not null, attempt integer not null);
create table chaos.lease (
  seq bigint generated always as identity primary key, job bigint not null, owner integer not null,
  took boolean not null, at timestamptz not null default clock_timestamp()
);
create index on chaos.lease (job, seq);
create table chaos.body (id bigint primary key, n text not null, kind text not null);
create table chaos.attempt (
  job bigint not null, retry_round smallint not null, attempt smallint not null, outcome smallint not null,
  worker integer, error jsonb, primary key (job, retry_round, attempt)
);
create function chaos.keep_body() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  insert into chaos.body values (new.id, new.args ->> 'n', new.kind);
  return null;
end $$;
create function chaos.keep_attempt() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- A second time it comes when it outlives its segment: Awa's own key has seen to it that it is the same one.
  insert into chaos.attempt values (new.job_id, new.retry_round, new.attempt, new.outcome, new.worker, new.error)
  on conflict do nothing;
  return null;
end $$;
create function chaos.note() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_left bigint[] := case when tg_op <> 'INSERT' and old.owner is not null then old.ids else '{}' end;
  v_took bigint[] := case when tg_op <> 'DELETE' and new.owner is not null then new.ids else '{}' end;
begin
  if tg_op = 'UPDATE' and old.owner = new.owner then
    v_left := array(select unnest(old.ids) except select unnest(new.ids));
    v_took := array(select unnest(new.ids) except select unnest(old.ids));
  end if;
  if v_left <> '{}' then
    insert into chaos.lease (job, owner, took) select id, old.owner, false from unnest(v_left) id;
  end if;
  if v_took <> '{}' then
    insert into chaos.lease (job, owner, took) select id, new.owner, true from unnest(v_took) id;
  end if;
  return null;
end $$;
create trigger keep after insert on awa.job_log for each row execute function chaos.keep_body();
create trigger keep after insert on awa.attempt_log for each row execute function chaos.keep_attempt();
create trigger note after insert or update or delete on awa.batch for each row execute function chaos.note();
"""


def create(connection: psycopg.Connection[Any]) -> None:
    """Make the tables, in a database that has Awa's schema."""
    connection.execute(TABLES.encode())
