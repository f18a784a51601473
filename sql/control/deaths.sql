-- Which kinds of jobs their workers died of, the worst of the last hour first.
select * from awa.deaths order by last_hour desc, last_day desc, last_week desc, kind, queue;
