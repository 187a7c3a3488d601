-- How many partitions the consumers of this log stand in. Checkpoints of one count mean nothing in another, so it is
-- fixed when the log is first carried by partitions; no row: the log is consumed as a whole, as partition 0.
create table platform.feed_partitions (
  count integer not null check (count > 0),
  only_row boolean primary key default true check (only_row)
);

-- How far the log has been carried to a topic of Kafka. Whoever carries it has written its session here, and a former
-- one no longer finds its own. `ends` are the ends of the topic's partitions after the last messages that Kafka has
-- acknowledged: a topic that ends before them has lost some.
create table platform.relays (
  topic text primary key,
  session uuid not null,
  position bigint not null,
  ends bigint[] not null,
  -- The last event up to the position, to recognise another log in its place; null before the first.
  event_id uuid,
  updated_at timestamptz not null default now()
);
