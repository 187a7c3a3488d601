-- The memory of the simulated payment gateway: what a real provider would know. Nothing else writes here.
create schema if not exists gateway;

create table gateway.authorisations (
  key text collate "C" primary key,
  -- Null for an authorisation that was voided before it came.
  order_id uuid,
  token text,
  amount bigint,
  currency text,
  status text not null check (status in ('failing', 'approved', 'declined', 'captured', 'voided')),
  reason text,
  attempts integer not null default 1,
  capture_key text unique,
  void_key text unique,
  refunded bigint not null default 0 check (refunded >= 0 and (refunded = 0 or refunded <= amount)),
  created_at timestamptz not null default now()
);
-- The audit counts charges by order.
create index on gateway.authorisations (order_id);

create table gateway.refunds (
  key text collate "C" primary key,
  authorisation_key text collate "C" not null references gateway.authorisations (key),
  amount bigint not null check (amount > 0),
  created_at timestamptz not null default now()
);
