-- Where each consumer of the log stands, per partition (0 when the log itself is read). The identity of the log is kept
-- with it, so that a checkpoint of another or of a restored, older log is recognised.
create schema if not exists platform;

create table platform.checkpoints (
  consumer text not null,
  partition integer not null,
  position bigint not null,
  log_identity uuid not null,
  updated_at timestamptz not null default now(),
  primary key (consumer, partition)
);

-- Folded states of long streams; worthless when the shape of the state has changed.
create table platform.snapshots (
  stream text collate "C" primary key,
  revision bigint not null,
  shape integer not null,
  state json not null
);
