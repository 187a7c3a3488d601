-- One row per SKU, written from the SKU's own stream.
create schema if not exists {schema};

create table if not exists {schema}.stock (
  sku text collate "C" primary key,
  on_hand bigint not null,
  reserved bigint not null,
  available bigint not null generated always as (on_hand - reserved) stored,
  updated_at timestamptz not null,
  revision bigint not null,
  position bigint not null,
  check (reserved between 0 and on_hand)
);
