-- Who fires a timer claims it for a while. `due_at` stays what it was, so that one can see how long a timer is overdue
-- even if it is claimed again and again.
alter table saga.timers add column claimed_until timestamptz;
drop index saga.timers_due;
create index timers_next on saga.timers (greatest(due_at, claimed_until));
