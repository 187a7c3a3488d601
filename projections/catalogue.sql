-- One row per product, written from the product's own stream.
create schema if not exists {schema};

create table if not exists {schema}.products (
  sku text collate "C" primary key,
  name text not null,
  description text not null,
  brand text not null,
  category text not null,
  price_amount bigint not null,
  currency text collate "C" not null,
  registered_at timestamptz not null,
  updated_at timestamptz not null,
  revision bigint not null,
  position bigint not null
);

-- Indexes
create index if not exists products_category on {schema}.products (category, sku);
create index if not exists products_brand on {schema}.products (brand, sku);
create index if not exists products_price on {schema}.products (currency, price_amount, sku);
