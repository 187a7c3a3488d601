-- The life that a store outside PostgreSQL is in. What it holds carries the same epoch; a store that was emptied, or put
-- back to an earlier life, carries another or none, and is begun anew from the log.
create table platform.store_epochs (
  store text primary key,
  epoch uuid not null,
  begun_at timestamptz not null default now()
);
