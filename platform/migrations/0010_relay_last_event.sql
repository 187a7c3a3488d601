-- The last event up to `position`: its id, and stream, revision and position to find it by. Found by position alone, as
-- `event_id` was, a log whose positions are no index is read from its beginning. Null before the first event, and in rows
-- of older versions until the next checkpoint. All in one column, so that a relay of an older version that carries the
-- log in between cannot leave half of it.
alter table platform.relays add column last_event jsonb;
