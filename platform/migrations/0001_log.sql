-- The event log. Appends go through log.append and nothing else; see its comment for the order of positions.
create schema if not exists log;

create table log.identity (
  id uuid not null default gen_random_uuid(),
  only_row boolean primary key default true check (only_row)
);
insert into log.identity default values;

-- json, not jsonb: what was written comes back byte by byte, and storing it costs a check instead of a conversion.
create table log.events (
  position bigint primary key,
  stream text collate "C" not null,
  revision bigint not null,
  id uuid not null,
  type text collate "C" not null,
  data json not null,
  metadata json not null,
  recorded_at timestamptz not null,
  unique (stream, revision)
);

-- The table only grows: there is nothing to clean, but visibility and statistics must keep pace with it.
alter table log.events set (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.1);

create function log.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the log is append-only: % of log.% is refused', tg_op, tg_table_name using errcode = 'OL001';
end
$$;

create trigger append_only before update or delete or truncate on log.events
  for each statement execute function log.refuse_change();
create trigger append_only before update or delete or truncate on log.identity
  for each statement execute function log.refuse_change();
-- Also for the owner, and also where session_replication_role would skip ordinary triggers.
alter table log.events enable always trigger append_only;
alter table log.identity enable always trigger append_only;

-- Appends to many streams at once, every append atomic on its own: a conflict of one is its own outcome and no concern
-- of its neighbours.
--
-- p_streams, p_expected, p_counts: one element per append; expected is a revision, -1 for "none" or -2 for "any".
--   The streams of one call must differ.
-- p_owners, p_offsets, p_ids, p_types, p_data, p_metadata: one element per event, those of the first append first: the
--   number of its append (from 1) and its own number within it (from 1).
-- Returns one row per append, in order: appended with the last revision and position, or (appended false) the actual
--   last revision of the stream (-1: none).
--
-- Positions are handed out under one lock that is held until commit, so position order is commit order and a reader of
-- "position > n order by position" can never skip an event that commits late. The statements below must see what the
-- former holder of the lock committed: this needs read committed, where each takes a new snapshot.
create function log.append(
  p_streams text[], p_expected bigint[], p_counts integer[],
  p_owners integer[], p_offsets integer[], p_ids uuid[], p_types text[], p_data json[], p_metadata json[]
) returns table (appended boolean, revision bigint, "position" bigint) language plpgsql
-- A session whose first calls are small would plan each statement below anew for every call, at twice the cost of them.
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_head bigint;
  v_head_before bigint;
  v_now timestamptz;
  v_actual bigint[];
  -- Per append: the position before its first event, or -1 when nothing of it is to be written.
  v_base bigint[] := array_fill(-1::bigint, array[cardinality(p_streams)]);
  v_first integer := 1;
  v_known integer;
  v_known_position bigint;
  v_known_revision bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'log.append needs read committed' using errcode = 'OL002';
  end if;
  perform pg_advisory_xact_lock(7310579);

  select e.position, e.recorded_at into v_head, v_now from log.events e order by e.position desc limit 1;
  v_head := coalesce(v_head, 0);
  v_head_before := v_head;
  v_now := greatest(date_trunc('milliseconds', clock_timestamp()), v_now);

  select array_agg(coalesce(l.revision, -1) order by a.n) into v_actual
  from unnest(p_streams) with ordinality a(stream, n)
  left join lateral (
    select e.revision from log.events e where e.stream = a.stream order by e.revision desc limit 1
  ) l on true;

  for i in 1 .. cardinality(p_streams) loop
    if v_actual[i] = p_expected[i] or (p_expected[i] = -2 and v_actual[i] = -1) then
      v_base[i] := v_head;
    elsif p_expected[i] = -2 then
      select count(*), max(e.position), max(e.revision) into v_known, v_known_position, v_known_revision
      from log.events e
      where e.stream = p_streams[i] and e.id = any (p_ids[v_first : v_first + p_counts[i] - 1]);
      if v_known = 0 then
        v_base[i] := v_head;
      end if;
    else
      select count(*), max(e.position), max(e.revision) into v_known, v_known_position, v_known_revision
      from log.events e
      where e.stream = p_streams[i] and e.revision > p_expected[i] and e.revision <= p_expected[i] + p_counts[i]
        and e.id = p_ids[v_first + (e.revision - p_expected[i] - 1)::integer];
    end if;

    if v_base[i] >= 0 then
      v_head := v_head + p_counts[i];
      appended := true;
      revision := v_actual[i] + p_counts[i];
      position := v_head;
    elsif v_known = p_counts[i] then
      appended := true;
      revision := v_known_revision;
      position := v_known_position;
    else
      appended := false;
      revision := v_actual[i];
      position := null;
    end if;
    v_first := v_first + p_counts[i];
    return next;
  end loop;

  if v_head > v_head_before then
    insert into log.events (position, stream, revision, id, type, data, metadata, recorded_at)
    select v_base[e.owner] + e.place, a.stream, v_actual[e.owner] + e.place, e.id, e.type, e.data, e.metadata, v_now
    from unnest(p_owners, p_offsets, p_ids, p_types, p_data, p_metadata) e(owner, place, id, type, data, metadata)
    join unnest(p_streams) with ordinality a(stream, n) on a.n = e.owner
    where v_base[e.owner] >= 0;
    perform pg_notify('orderlog_log', v_head::text);
  end if;
end
$$;
