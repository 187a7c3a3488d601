-- Everything that happened to an order, whichever aggregate it happened in, with its causes.
create schema if not exists {schema};

-- data is the event's data without personal data, payment token and gateway keys.
create table if not exists {schema}.entries (
  order_id uuid not null,
  position bigint not null,
  stream text collate "C" not null,
  revision bigint not null,
  type text collate "C" not null,
  recorded_at timestamptz not null,
  actor text not null,
  event_id uuid not null,
  command_id uuid not null,
  causation_id uuid not null,
  correlation_id uuid not null,
  data json not null,
  primary key (order_id, position)
);

