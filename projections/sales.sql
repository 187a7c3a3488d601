-- Sums per UTC day and currency; many streams add to one row, so only by deltas that commute.
create schema if not exists {schema};

-- orders, units, revenue: confirmed on that day. cancelled_*: those of them that were cancelled later, whenever that
-- was. refunds: how many were paid back on that day, refunded: how much. Money is minor units of currency.
create table if not exists {schema}.days (
  day date not null,
  currency text collate "C" not null,
  orders bigint not null,
  units bigint not null,
  revenue bigint not null,
  cancelled_orders bigint not null,
  cancelled_units bigint not null,
  cancelled_revenue bigint not null,
  refunds bigint not null,
  refunded bigint not null,
  primary key (day, currency)
);
