-- One row per member of one board: a sorted set spelled as a table. {schema} is the projection's schema of this generation.
create schema {schema};

-- units have no currency (''); bucket is the first moment of the hour or day, the epoch for all time.
-- A bigint holds 9.2e18 minor units, nine thousand orders of the highest total; beyond it the batch is refused, not rounded.
create table {schema}.scores (
  span text collate "C" not null check (span in ('hour', 'day', 'all')),
  bucket timestamptz not null,
  board text collate "C" not null check (board in ('products', 'customers')),
  measure text collate "C" not null check (measure in ('revenue', 'units', 'currencies')),
  currency text collate "C" not null,
  key text collate "C" not null,
  score bigint not null,
  primary key (span, bucket, board, measure, currency, key)
);

create index scores_top on {schema}.scores (span, bucket, board, measure, currency, score desc, key)
  where score > 0;
