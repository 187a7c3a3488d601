import type { Queryable } from './database.ts'

/** The simulated provider's books, per order: what the audit holds against the log. */
export const readSimulatedLedger = (
  database: Queryable,
): Promise<{ orderId: string; charges: number; openAuthorisations: number }[]> =>
  database.query(
    `select order_id as "orderId",
       count(*) filter (where status in ('approved', 'captured'))::integer as charges,
       count(*) filter (where status = 'approved')::integer as "openAuthorisations"
     from gateway.authorisations where order_id is not null group by order_id`,
  )
