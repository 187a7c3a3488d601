-- Short cuts to the past: what questions with asOf have folded once. All of it may go at any time and is folded anew.
create schema history;

-- The folded state of a stream at every so many revisions. Position, event and time are those of its last event (the time
-- is the latest up to there): a row is chosen by any of them, and believed as long as the log has the event.
create table history.stream_states (
  stream text collate "C" not null,
  shape integer not null,
  revision bigint not null,
  position bigint not null,
  event_id uuid not null,
  recorded_at timestamptz not null,
  state json not null,
  primary key (stream, shape, revision)
);

-- Marks in the log, every so many events, numbered from 1 without a gap. The last event up to a mark tells whether the log
-- is still the one that it was set in.
create table history.board_marks (
  shape integer not null,
  mark integer not null,
  position bigint not null,
  stream text collate "C" not null,
  revision bigint not null,
  event_id uuid not null,
  recorded_at timestamptz not null,
  primary key (shape, mark)
);

-- What was sold. Hours: between a mark and the one before it. All time: between a mark and the one that is the lowest set bit
-- of its number before it (mark 12 covers 9 to 12), so that what was sold up to any mark is the sum of few rows per key.
create table history.board_sums (
  shape integer not null,
  board text collate "C" not null check (board in ('products', 'customers')),
  span text collate "C" not null check (span in ('hour', 'all')),
  bucket timestamptz not null,
  mark integer not null,
  currency text collate "C" not null,
  key text collate "C" not null,
  revenue bigint not null,
  units bigint not null,
  primary key (shape, board, span, bucket, mark, currency, key)
);
