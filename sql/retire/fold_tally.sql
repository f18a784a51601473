-- Fold the tallies of past minutes into one row a minute, lane and outcome.
-- Index: tally_loose, so that days of folded ones are not read.
with loose as (
  delete from awa.tally where not folded and minute < date_trunc('minute', now()) returning minute, lane, outcome, jobs, deaths
), old as (
  delete from awa.tally where folded and minute < now() - interval '8 days'
)
insert into awa.tally (minute, lane, outcome, jobs, deaths, folded)
select minute, lane, outcome, sum(jobs), sum(deaths), true from loose group by minute, lane, outcome;
