-- How every fulfilment stands, for operators and for the watchdog. The truth is the instance's stream; a row trails it.
create schema if not exists saga;

create table saga.instances (
  order_id uuid primary key,
  customer_id text not null,
  status text not null check (status in ('running', 'waiting', 'parked', 'completed', 'cancelled')),
  -- 'shipment' or 'retry:<step>'
  waiting_for text,
  parked_step text,
  error text,
  saga_version integer not null,
  -- Of the instance's stream: a row never gives way to an older one.
  revision bigint not null,
  started_at timestamptz not null,
  updated_at timestamptz not null,
  attempts integer not null
) with (fillfactor = 80);

create index instances_newest on saga.instances (started_at, order_id);
create index instances_open on saga.instances (status, updated_at) where status in ('running', 'waiting', 'parked');

-- When an order wants to be looked at again. Whoever fires a timer moves it on first, so that a crash loses none.
create table saga.timers (
  order_id uuid not null,
  -- 'reservation-deadline', 'authorisation-deadline', 'retry' or 'refund:<refund id>'
  name text not null,
  due_at timestamptz not null,
  primary key (order_id, name)
);

create index timers_due on saga.timers (due_at);
