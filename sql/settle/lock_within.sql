-- Lock a worker's lease from inside a transaction of the application, before the
-- job that is being run is settled there. As settle/lock, and in addition:
--
-- * The transaction must not fall silent now, because rescue would wait for it:
--   if nothing is heard of it for 10 seconds, the server ends its session. A
--   shorter limit of the application's own stays; either is gone with the
--   transaction.
-- * Returned with each batch is the transaction's number: with it the worker can
--   ask how it ended.
--
-- Parameter: worker. Index: batch_leased.
with silence as materialized (
  select set_config('idle_in_transaction_session_timeout', case
           when own.length > interval '0' and own.length < interval '10 s' then own.text else '10s' end, true)
  from (select text, text::interval as length
        from current_setting('idle_in_transaction_session_timeout') as text) as own
)
select b.id, pg_current_xact_id()::text as xid from awa.batch b cross join silence
where b.owner = %(worker)s order by b.id for update of b;
