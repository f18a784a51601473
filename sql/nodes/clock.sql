-- The server's time, in microseconds since the epoch: the only clock that decides.
select (extract(epoch from clock_timestamp()) * 1e6)::bigint;
