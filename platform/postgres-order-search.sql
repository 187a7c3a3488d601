-- One row per order as the search sees it, written from the order's own stream and from the erasure of its customer.
-- {schema} is the projection's schema of this generation.
create schema {schema};

-- ids and words start with a space and have one between any two, so that '% abc%' finds what begins with abc.
-- Status is in no index: a change of status then leaves every index alone (a HOT update, which wants room in the page).
create table {schema}.orders (
  order_id uuid primary key,
  version bigint not null,
  placed_at timestamptz not null,
  status text collate "C" not null,
  ids text collate "C" not null,
  words text collate "C" not null,
  document json not null,
  -- In clear only as long as the key exists.
  person json,
  person_key uuid,
  person_words text collate "C" not null,
  haystack text collate "C" not null generated always as (ids || person_words || words) stored
) with (fillfactor = 80);
-- What the planner samples of these columns would outlive a person who is forgotten.
alter table {schema}.orders
  alter column person set statistics 0, alter column person_words set statistics 0, alter column haystack set statistics 0;

-- Keys that were destroyed: a document that comes late is stripped by them.
create table {schema}.forgotten_keys (key_id uuid primary key);

-- What a mistyped word is looked up in: the words of products under the nil key, those of a person under the person's
-- own key, so that they go with it.
create table {schema}.words (
  word text collate "C" not null,
  key_id uuid not null,
  primary key (word, key_id)
);
alter table {schema}.words alter column word set statistics 0;

-- Indexes
create index if not exists orders_placed on {schema}.orders (placed_at desc);
create index if not exists orders_person_key on {schema}.orders (person_key) where person_key is not null;
create index if not exists orders_trigrams on {schema}.orders using gin (haystack gin_trgm_ops);
create index if not exists words_key on {schema}.words (key_id);
create index if not exists words_trigrams on {schema}.words using gin (word gin_trgm_ops);
