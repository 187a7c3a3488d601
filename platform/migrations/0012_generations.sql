-- Read models come in generations. The live one is served under the projection's name; another is built beside it, and
-- former ones are kept until they are dropped. Their checkpoints and parked events are under '<projection>@<generation>'.
--
-- A checkpoint says which generation it belongs to: who still writes to the one that was live before finds it changed and
-- is fenced, also where the position happens to be the same.
alter table platform.checkpoints add column generation integer not null default 1;

create table platform.generations (
  projection text not null,
  generation integer not null,
  version integer not null,
  state text not null check (state in ('building', 'kept')),
  created_at timestamptz not null default now(),
  -- When another generation took its place; null while it is being built.
  replaced_at timestamptz,
  primary key (projection, generation)
);

-- The rebuilds of projections, those of one run reading the log together. Whoever works on a run holds a lease on it; the
-- rows say how far it is, so that the next one goes on from there.
create table platform.rebuilds (
  run uuid not null,
  projection text not null,
  generation integer not null,
  version integer not null,
  phase text not null default 'loading'
    check (phase in ('loading', 'indexing', 'catching-up', 'verifying', 'swapping', 'done')),
  state text not null default 'running' check (state in ('running', 'cancelled', 'failed', 'done', 'dropped')),
  -- Rows that are compared with the log before the swap; null: all of them.
  sample integer,
  -- How many writers share the load, each with the streams that fall to it.
  lanes integer not null default 1,
  -- The end of the log when it began: what comes later is caught up with.
  target bigint not null,
  events_total bigint not null,
  events_done bigint not null default 0,
  position bigint not null default 0,
  -- Of the present phase, as measured.
  events_per_second double precision,
  error text,
  operator text not null,
  reason text,
  started_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (run, projection)
);
-- A projection is rebuilt once at a time; one that was cancelled or has failed is resumed or dropped first. Without lanes
-- nothing was built: a generation that was kept is swapped back, and when that has ended early nothing is in the way.
create unique index one_rebuild_at_a_time on platform.rebuilds (projection)
  where state = 'running' or (state in ('cancelled', 'failed') and lanes > 0);
create index rebuilds_by_projection on platform.rebuilds (projection, started_at desc);
