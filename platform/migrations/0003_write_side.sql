-- The event a snapshot was taken at: a log restored to an older state has another one there, or none.
alter table platform.snapshots add column event_id uuid;

-- Keys to personal data, one per customer. Destroying a key is deleting its row: what it sealed is noise from then on.
create table log.customer_keys (
  key_id uuid primary key,
  customer_id text collate "C" not null unique,
  key bytea not null,
  created_at timestamptz not null default now()
);

-- First replies by idempotency key. A claim is held by a process (owner) that keeps renewing it while it works.
create table platform.idempotency_keys (
  scope text collate "C" not null,
  key text collate "C" not null,
  body_hash bytea not null,
  command_id uuid not null,
  owner uuid not null,
  claimed_at timestamptz not null,
  renewed_at timestamptz not null,
  reply json,
  primary key (scope, key)
);
create index on platform.idempotency_keys (claimed_at);
