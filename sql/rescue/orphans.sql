-- Owners of leases that are not registered (any more): their node was declared
-- dead while its claim was under way.
select distinct owner from awa.batch
where owner is not null and not exists (select from awa.worker w where w.id = owner);
