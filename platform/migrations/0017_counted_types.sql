-- How many events of each stored name the log has up to one of them, as it was counted last: what comes before that event is
-- not counted again, as long as the log holds it where it was.
create table platform.counted_types (
  only_row boolean primary key default true check (only_row),
  log_identity uuid not null,
  place jsonb not null,
  counts jsonb not null,
  counted_at timestamptz not null default now()
);
