-- Which version of the code built a projection's tables; another version never goes on writing into them.
create table platform.projections (
  name text primary key,
  version integer not null,
  generation integer not null default 1,
  built_at timestamptz not null default now()
);

-- Events that a projection could not apply (failed), and later events of the same stream that wait behind them
-- (behind), so that order within the stream is kept while other streams flow.
create table platform.parked_events (
  projection text not null,
  stream text collate "C" not null,
  revision bigint not null,
  position bigint not null,
  partition integer not null,
  event json not null,
  status text not null check (status in ('failed', 'behind')),
  error text,
  sqlstate text,
  stack text,
  attempts integer not null default 0,
  first_at timestamptz not null default now(),
  last_at timestamptz not null default now(),
  primary key (projection, stream, revision)
);
create index parked_events_in_order on platform.parked_events (position, projection);
