-- One row per product as the search sees it. {schema} is the projection's schema of this generation.
create schema {schema};

create table {schema}.products (
  sku text collate "C" primary key,
  sku_folded text collate "C" not null,
  version bigint not null,
  brand text collate "C" not null,
  category text collate "C" not null,
  accessory boolean not null,
  words tsvector not null,
  document json not null
);

-- Every word in a name, brand or category: what an unfinished or mistyped word is looked up in. A word that is used no
-- more stays and does no harm.
create table {schema}.words (word text collate "C" primary key);

-- Indexes
create index if not exists products_sku_folded on {schema}.products (sku_folded);
create index if not exists products_words on {schema}.products using gin (words);
create index if not exists words_trigrams on {schema}.words using gin (word gin_trgm_ops);
