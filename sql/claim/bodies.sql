-- The bodies of claimed jobs. Parameters: ids bigint[], and first_id, end_id, their least
-- and greatest: constants that let the planner leave out the other segments; light
-- (bytes): of jobs whose args and metadata take more than this, the JSON null stands for the
-- args, and claim/contents.sql reads them later. What a value takes as it is stored is all that can be
-- known of it without reading it; what is compressed may be 32 times as long, and seldom is.
-- sure (bytes): a 32nd of light. The usual job is one comparison. All of it stands in both
-- branches: once, above the union, took the server a tenth longer for each row.
-- max_attempts 0: as the worker's task says, which knows better than awa.task.
select id, created_at, run_at, priority, coalesce(max_attempts, 0) as max_attempts, timeout_ms, queue, kind,
       case when metadata is null and pg_column_size(args) <= %(sure)s::int then args
            when pg_column_size(args) + coalesce(pg_column_size(metadata), 0) <=
                case when coalesce(pg_column_compression(args), pg_column_compression(metadata)) is null
                     then %(light)s::int else %(sure)s::int end then args
            else 'null'::jsonb end as args,
       case when metadata is null then null
            when pg_column_size(args) + coalesce(pg_column_size(metadata), 0) <=
                case when coalesce(pg_column_compression(args), pg_column_compression(metadata)) is null
                     then %(light)s::int else %(sure)s::int end then metadata end as metadata,
       tags, expires_at, unique_key, unique_states, ordering_key
from awa.job_log where id = any (%(ids)s::bigint[]) and id between %(first_id)s and %(end_id)s
union all
select id, created_at, run_at, priority, coalesce(max_attempts, 0) as max_attempts, timeout_ms, queue, kind,
       case when metadata is null and pg_column_size(args) <= %(sure)s::int then args
            when pg_column_size(args) + coalesce(pg_column_size(metadata), 0) <=
                case when coalesce(pg_column_compression(args), pg_column_compression(metadata)) is null
                     then %(light)s::int else %(sure)s::int end then args
            else 'null'::jsonb end,
       case when metadata is null then null
            when pg_column_size(args) + coalesce(pg_column_size(metadata), 0) <=
                case when coalesce(pg_column_compression(args), pg_column_compression(metadata)) is null
                     then %(light)s::int else %(sure)s::int end then metadata end,
       tags, expires_at, unique_key, unique_states, ordering_key
from awa.job_archive where id = any (%(ids)s::bigint[]);
