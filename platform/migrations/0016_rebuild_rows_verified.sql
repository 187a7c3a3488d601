-- Rows of the new generation that were compared with the log before the swap, so far; null: none were, or not yet.
alter table platform.rebuilds add column rows_verified bigint;
