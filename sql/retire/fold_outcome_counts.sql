-- Fold the outcome counts of past minutes into one row a minute, lane and outcome.
-- Index: outcome_count_minute, from its end back to the newest folded row: what is not folded lies
-- behind that, so that neither days of folded rows are read, nor those dead ones that a
-- pinned vacuum horizon keeps of them. A transaction may bring rows of the minute in which it began:
-- those that are more than ten minutes late stay as they are, and are counted all the same.
-- An index of what is not folded would be written at every settle: 64 bytes of WAL each time.
with newest as materialized (
  select minute from awa.outcome_count where folded order by minute desc limit 1
), loose as (
  delete from awa.outcome_count
  where not folded and minute < date_trunc('minute', now())
    and minute >= coalesce((select minute - interval '10 minutes' from newest), '-infinity')
  returning minute, lane, outcome, jobs, deaths
), old as (
  delete from awa.outcome_count where minute < now() - interval '8 days'
)
insert into awa.outcome_count (minute, lane, outcome, jobs, deaths, folded)
select minute, lane, outcome, sum(jobs), sum(deaths), true from loose group by minute, lane, outcome;
