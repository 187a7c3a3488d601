-- One row per order, written from the order's own stream; {schema} is the projection's schema of this generation.
create schema if not exists {schema};

-- name, email and address are in clear only as long as the customer's key exists; forgetting empties them.
create table if not exists {schema}.orders (
  order_id uuid primary key,
  customer_id text collate "C" not null,
  status text collate "C" not null,
  currency text collate "C" not null,
  total_amount bigint not null,
  units integer not null,
  lines json not null,
  skus text[] collate "C" not null,
  placed_at timestamptz not null,
  confirmed_at timestamptz,
  shipped_at timestamptz,
  delivered_at timestamptz,
  cancelled_at timestamptz,
  cancel_reason text,
  carrier text,
  tracking_id text,
  personal_key uuid,
  name text,
  email text,
  address json,
  revision bigint not null,
  position bigint not null
);

-- What the planner samples of these columns would outlive a person who is forgotten.
alter table {schema}.orders
  alter column name set statistics 0, alter column email set statistics 0, alter column address set statistics 0;

-- Indexes
create index if not exists orders_placed on {schema}.orders (placed_at, order_id);
create index if not exists orders_total on {schema}.orders (total_amount, order_id);
create index if not exists orders_status on {schema}.orders (status, placed_at, order_id);
create index if not exists orders_customer on {schema}.orders (customer_id, placed_at, order_id);
create index if not exists orders_skus on {schema}.orders using gin (skus);
