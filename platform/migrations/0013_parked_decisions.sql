-- What operators decided about events that a projection could not apply. It belongs to the projection, not to one
-- generation of its tables, and to the very event (id), not only to its place: a rebuild honours it, and another event
-- that stands there after a restore of the log has nothing to do with it.

-- A replacement that the projection is given instead of the event; the log stays as it is. The last one counts.
create table platform.event_edits (
  projection text not null,
  stream text collate "C" not null,
  revision bigint not null,
  event_id uuid not null,
  edit integer not null check (edit > 0),
  position bigint not null,
  type text not null,
  data json not null,
  operator text not null,
  reason text not null,
  edited_at timestamptz not null default now(),
  -- When the projection was last given the replacement; null: never yet.
  applied_at timestamptz,
  primary key (projection, stream, revision, event_id, edit)
);

-- An event that the projection goes without: what it shows has a gap there.
create table platform.event_gaps (
  projection text not null,
  stream text collate "C" not null,
  revision bigint not null,
  event_id uuid not null,
  position bigint not null,
  partition integer not null,
  event json not null,
  error text,
  sqlstate text,
  stack text,
  attempts integer not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  operator text not null,
  reason text not null,
  discarded_at timestamptz not null default now(),
  -- When the projection last went past the event again, in a rebuild; null: not since.
  passed_at timestamptz,
  primary key (projection, stream, revision, event_id)
);
create index event_gaps_in_order on platform.event_gaps (position, projection);

-- The edit that the next attempt applies; 0: the event as it is.
alter table platform.parked_events add column edit integer not null default 0;
