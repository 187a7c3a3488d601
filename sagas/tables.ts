import { createBatcher } from '../platform/batcher.ts'
import type { Database, Statement } from '../platform/database.ts'
import type { Fulfilment } from './fulfilment.ts'
import { type InstanceStatus, statusOf, type Timer, timersOf } from './next-steps.ts'

/** One instance as it is shown, with the timers that it wants. */
export interface InstanceRow extends InstanceStatus {
  readonly orderId: string
  readonly customerId: string
  readonly sagaVersion: number
  readonly revision: bigint
  readonly startedAt: string
  readonly updatedAt: string
  readonly timers: readonly Timer[]
}

export interface DueTimer {
  readonly orderId: string
  readonly name: string
}

/** What the process manager keeps beside the log: rows that trail the streams, and timers. Engine failures throw. */
export interface SagaTables {
  /** Shows an instance and replaces its timers, unless the row is of a later revision. */
  save(row: InstanceRow): Promise<void>
  /** Shows that an instance cannot even be read or recorded. */
  saveBroken(orderId: string, error: string, now: Date): Promise<void>
  /** Orders that `saveBroken` has set aside and nobody has led on since. */
  asideOrders(): Promise<readonly string[]>
  setTimer(orderId: string, name: string, dueAt: Date): Promise<void>
  clearTimer(orderId: string, name: string): Promise<void>
  /** Takes timers that are due, at most so many; they come back at `until` unless they were cleared or set anew. */
  claimTimers(now: Date, until: Date, limit: number): Promise<readonly DueTimer[]>
  /** When the next timer can be claimed, ISO 8601; undefined when there is none. */
  nextTimer(): Promise<string | undefined>
}

/** @param now when the row is written */
export const rowOf = (state: Fulfilment, revision: bigint, now: Date): InstanceRow => ({
  ...statusOf(state),
  orderId: state.orderId,
  customerId: state.customerId,
  sagaVersion: state.sagaVersion,
  revision,
  startedAt: state.startedAt,
  updatedAt: now.toISOString(),
  timers: timersOf(state),
})

/**
 * The commit waits for the disk: whoever saved it goes on past its trigger, also when the server crashes under a process
 * that lives on and writes down a later checkpoint. A timer that is lost then never fires.
 */
const saveStatement: Statement = {
  name: 'saga_save',
  text: `with accepted as (
    insert into saga.instances as i (order_id, customer_id, status, waiting_for, parked_step, error, saga_version,
      revision, started_at, updated_at, attempts)
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[],
      $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::integer[])
    on conflict (order_id) do update set status = excluded.status, waiting_for = excluded.waiting_for,
      customer_id = excluded.customer_id, parked_step = excluded.parked_step, error = excluded.error,
      saga_version = excluded.saga_version, revision = excluded.revision, started_at = excluded.started_at,
      updated_at = excluded.updated_at, attempts = excluded.attempts
    where i.revision <= excluded.revision
    returning order_id
  ), wanted as (
    select t.order_id, t.name, t.due_at
    from unnest($12::uuid[], $13::text[], $14::timestamptz[]) t(order_id, name, due_at) join accepted using (order_id)
  ), dropped as (
    delete from saga.timers t using accepted a
    where t.order_id = a.order_id and t.name not like 'refund:%'
      and not exists (select from wanted w where w.order_id = t.order_id and w.name = t.name)
  )
  insert into saga.timers as t (order_id, name, due_at) select * from wanted
  on conflict (order_id, name) do update set due_at = excluded.due_at, claimed_until = null
  where t.due_at <> excluded.due_at`,
}
const brokenStatement: Statement = {
  name: 'saga_broken',
  text: `insert into saga.instances as i (order_id, customer_id, status, error, saga_version, revision, started_at,
      updated_at, attempts)
    values ($1, '', 'parked', $2, 0, 0, $3, $3, 1)
    on conflict (order_id) do update set status = 'parked', error = excluded.error, waiting_for = null,
      parked_step = null, updated_at = excluded.updated_at`,
}
const asideStatement: Statement = {
  name: 'saga_aside',
  text: `select order_id as "orderId" from saga.instances where status = 'parked' and parked_step is null`,
}
const claimStatement: Statement = {
  name: 'saga_claim_timers',
  text: `update saga.timers t set claimed_until = $2
    from (select order_id, name from saga.timers where greatest(due_at, claimed_until) <= $1
      order by greatest(due_at, claimed_until) limit $3 for update skip locked) due
    where t.order_id = due.order_id and t.name = due.name
    returning t.order_id as "orderId", t.name`,
}
const setTimerStatement: Statement = {
  name: 'saga_set_timer',
  text: `insert into saga.timers (order_id, name, due_at) values ($1, $2, $3)
    on conflict (order_id, name) do update set due_at = excluded.due_at, claimed_until = null`,
}
const clearTimerStatement: Statement = {
  name: 'saga_clear_timer',
  text: 'delete from saga.timers where order_id = $1 and name = $2',
}
const nextTimerStatement: Statement = {
  name: 'saga_next_timer',
  text: `select greatest(due_at, claimed_until) as "dueAt" from saga.timers
    order by greatest(due_at, claimed_until) limit 1`,
}

/** The tables of schema `saga`. Rows of many instances travel in one statement. */
export const createSagaTables = (database: Database): SagaTables => {
  const save = createBatcher<InstanceRow, undefined>({
    maxItems: 500,
    concurrency: 1,
    keyOf: (row) => row.orderId,
    run: async (rows) => {
      // In one order everywhere, or two workers would lock each other's rows.
      const sorted = [...rows].sort((a, b) => (a.orderId < b.orderId ? -1 : 1))
      const column = <Value>(of: (row: InstanceRow) => Value) => sorted.map(of)
      const timers = sorted.flatMap(({ orderId, timers }) => timers.map((timer) => ({ orderId, ...timer })))
      await database.execute(saveStatement, [
        column((row) => row.orderId),
        column((row) => row.customerId),
        column((row) => row.status),
        column((row) => row.waitingFor),
        column((row) => row.parkedStep),
        column((row) => row.error),
        column((row) => row.sagaVersion),
        column((row) => row.revision),
        column((row) => row.startedAt),
        column((row) => row.updatedAt),
        column((row) => row.attempts),
        timers.map((timer) => timer.orderId),
        timers.map((timer) => timer.name),
        timers.map((timer) => timer.dueAt),
      ])
      return rows.map(() => undefined)
    },
  })

  return {
    save,
    saveBroken: async (orderId, error, now) => {
      await database.execute(brokenStatement, [orderId, error, now.toISOString()])
    },
    asideOrders: async () =>
      (await database.execute<{ orderId: string }>(asideStatement)).map(({ orderId }) => orderId),
    setTimer: async (orderId, name, dueAt) => {
      await database.execute(setTimerStatement, [orderId, name, dueAt.toISOString()])
    },
    clearTimer: async (orderId, name) => {
      await database.execute(clearTimerStatement, [orderId, name])
    },
    claimTimers: (now, until, limit) =>
      database.execute<DueTimer>(claimStatement, [now.toISOString(), until.toISOString(), limit]),
    nextTimer: async () => {
      const [row] = await database.execute<{ dueAt: string }>(nextTimerStatement)
      return row?.dueAt
    },
  }
}
