-- Recent events of the log, newest first, as consumers have seen them: a log that no longer holds them was put back to an
-- older backup, also when it has grown beyond every checkpoint since. Redis and Elasticsearch have one of their own.
create table platform.log_trail (
  only_row boolean primary key default true check (only_row),
  log_identity uuid not null,
  places jsonb not null,
  updated_at timestamptz not null default now()
);

-- Consumers that were found ahead of a log that was put back. Whoever has a row applies nothing any more: `fenceHead`
-- looks here. A rebuild or a reset takes the row away.
create table platform.put_back (
  consumer text primary key,
  why text not null,
  found_at timestamptz not null default now(),
  -- An operator wants it mended: the relay may throw away what it has published.
  mending boolean not null default false
);
