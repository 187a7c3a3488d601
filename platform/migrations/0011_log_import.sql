-- The second way into the log: `orderlog import` writes events that have their ids, revisions and times already. Positions
-- are handed out here as by log.append: without gaps, under the same lock, which an import also holds from batch to batch,
-- so that nobody else's event gets in between.
--
-- All parameters have one element per event, in the order of the log. Writes all of them and returns no row, or writes
-- none and returns the first that does not continue its stream: its number (from 1) and the revision that would.
create function log.import(
  p_streams text[], p_revisions bigint[], p_ids uuid[], p_types text[], p_data json[], p_metadata json[],
  p_recorded_at timestamptz[]
) returns table (place integer, continues bigint) language plpgsql as $$
#variable_conflict use_column
declare
  v_head bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'log.import needs read committed' using errcode = 'OL002';
  end if;
  perform pg_advisory_xact_lock(7310579);

  return query
    with incoming as (
      select e.stream, e.revision, e.n, row_number() over (partition by e.stream order by e.n) as nth
      from unnest(p_streams, p_revisions) with ordinality e(stream, revision, n)
    ), known as (
      select s.stream, coalesce(l.revision, -1) as revision
      from (select distinct stream from incoming) s
      left join lateral (
        select e.revision from log.events e where e.stream = s.stream collate "C" order by e.revision desc limit 1
      ) l on true
    )
    select i.n::integer, k.revision + i.nth
    from incoming i join known k on k.stream = i.stream
    where i.revision <> k.revision + i.nth
    order by i.n limit 1;
  if found then
    return;
  end if;

  select coalesce(max(e.position), 0) into v_head from log.events e;
  insert into log.events (position, stream, revision, id, type, data, metadata, recorded_at)
  select v_head + e.n, e.stream, e.revision, e.id, e.type, e.data, e.metadata, e.recorded_at
  from unnest(p_streams, p_revisions, p_ids, p_types, p_data, p_metadata, p_recorded_at)
    with ordinality e(stream, revision, id, type, data, metadata, recorded_at, n);
  perform pg_notify('orderlog_log', (v_head + cardinality(p_streams))::text);
end
$$;
-- For the owner of the log alone, whoever else may be given rights on the schema.
revoke execute on function
  log.import(text[], bigint[], uuid[], text[], json[], json[], timestamptz[]) from public;

-- There is a row from the first event that an import writes until it has come to the end of its file. Half a log must not
-- be led on: the saga would do once more what the other half says was done.
create table platform.unfinished_import (
  begun_at timestamptz not null default now(),
  only_row boolean primary key default true check (only_row)
);
