-- One row per order's payment, written from the payment's own stream. Amounts are minor units of currency.
create schema if not exists {schema};

-- status: requested, authorised, declined, captured, partially_refunded, refunded, voided.
-- refunds: [{ refundId, amount, reason, status: requested | refunded | refused, at }], in the order they were asked for.
create table if not exists {schema}.payments (
  order_id uuid primary key,
  customer_id text collate "C" not null,
  status text collate "C" not null,
  currency text collate "C",
  requested_amount bigint not null,
  authorised_amount bigint not null,
  captured_amount bigint not null,
  refunded_amount bigint not null,
  decline_reason text,
  gateway_reference text,
  refunds json not null,
  requested_at timestamptz,
  authorised_at timestamptz,
  declined_at timestamptz,
  captured_at timestamptz,
  voided_at timestamptz,
  revision bigint not null,
  position bigint not null
);

-- Indexes
create index if not exists payments_customer on {schema}.payments (customer_id, order_id);
