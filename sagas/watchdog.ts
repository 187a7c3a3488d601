import type { Database, Statement } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { pause } from '../platform/pause.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { idOf } from '../schemas/streams.ts'
import { consumer } from './checkpoint.ts'

/** A fulfilment without progress although it is the saga's turn, or an operator's. */
export interface StuckInstance {
  readonly orderId: string
  readonly status: 'running' | 'waiting' | 'parked'
  readonly waitingFor: string | null
  readonly parkedStep: string | null
  readonly error: string | null
  /** ISO 8601 */
  readonly updatedAt: string
}

const stuckStatement: Statement = {
  name: 'saga_stuck',
  text: `select order_id as "orderId", status, waiting_for as "waitingFor", parked_step as "parkedStep", error,
      updated_at as "updatedAt"
    from saga.instances i
    where status in ('running', 'waiting', 'parked') and (
      status = 'parked'
      or status = 'running' and updated_at < now() - $1 * interval '1 millisecond'
      or status = 'waiting' and exists (
        select from saga.timers t where t.order_id = i.order_id and t.due_at < now() - $1 * interval '1 millisecond'))
    order by updated_at limit $2`,
}
const countStatement: Statement = {
  name: 'saga_count',
  text: `select status, count(*)::integer as count,
      coalesce(extract(epoch from now() - min(updated_at)), 0)::float8 as "oldestSeconds"
    from saga.instances where status in ('running', 'waiting', 'parked') group by status`,
}

/**
 * The instances that are parked, have been running without progress for longer than the threshold, or wait for a timer
 * that is overdue by as much. Oldest first.
 */
export const findStuck = (database: Database, thresholdMs: number, limit: number): Promise<readonly StuckInstance[]> =>
  database.execute<StuckInstance>(stuckStatement, [thresholdMs, limit])

const unseenStatement: Statement = {
  name: 'saga_unseen',
  text: `select distinct on (t.order_id) t.order_id as "orderId", t.recorded_at as "updatedAt"
    from unnest($1::uuid[], $2::timestamptz[]) t(order_id, recorded_at) left join saga.instances i using (order_id)
    where t.recorded_at < now() - $3 * interval '1 millisecond'
      and (i.order_id is null or i.updated_at < t.recorded_at)
    order by t.order_id, t.recorded_at limit $4`,
}
const checkpointStatement: Statement = {
  name: 'saga_checkpoint',
  // Number 0 is the log as a whole, which nobody consumes any more once there are others.
  text: `select coalesce(min(position) filter (where partition > 0), min(position), 0) as position
    from platform.checkpoints where consumer = $1`,
}
const types = namesOf('OrderPlaced', 'OrderShipped', 'OrderCancelled')
/** The oldest event that was not acted upon is the first after the checkpoint; a few more show who else waits. */
const eventsLookedAt = 500

/**
 * Orders whose events the saga has not acted upon for longer than the threshold, because it hangs, is behind or is not
 * running at all: they may not even have a row yet.
 */
export const findUnseen = async (
  database: Database,
  log: Pick<EventStore, 'readAll'>,
  thresholdMs: number,
  limit: number,
): Promise<readonly StuckInstance[]> => {
  const [checkpoint] = await database.execute<{ position: bigint }>(checkpointStatement, [consumer])
  const { events } = await log.readAll({ after: checkpoint?.position ?? 0n, limit: eventsLookedAt, types })
  if (events.length === 0) return []
  const rows = await database.execute<Pick<StuckInstance, 'orderId' | 'updatedAt'>>(unseenStatement, [
    events.map(({ stream }) => idOf(stream)),
    events.map(({ recordedAt }) => recordedAt),
    thresholdMs,
    limit,
  ])
  const status = { status: 'running', waitingFor: null, parkedStep: null } as const
  return rows.map((row) => ({ ...row, ...status, error: 'the saga has not acted upon its last event' }))
}

export interface Watchdog {
  /** Looks again and again until the signal aborts; it never rejects. */
  run(signal: AbortSignal): Promise<void>
  /** Looks once: logs the stuck ones, sets the gauges. Engine failures throw. */
  look(): Promise<readonly StuckInstance[]>
}

/** Names fulfilments that make no progress, so that nobody has to find out from a customer. Times in milliseconds. */
export const createWatchdog = (deps: {
  readonly database: Database
  /** Without it, orders that have no row yet are not looked for. */
  readonly store?: Pick<EventStore, 'readAll'>
  readonly logger: Logger
  readonly metrics: Metrics
  readonly everyMs?: number
  readonly thresholdMs?: number
  /** Instances named in the log at most, each time. */
  readonly limit?: number
}): Watchdog => {
  const { database, store, logger, metrics, everyMs = 10_000, thresholdMs = 60_000, limit = 20 } = deps

  const look = async (): Promise<readonly StuckInstance[]> => {
    const unseen = store ? await findUnseen(database, store, thresholdMs, limit) : []
    const stuck = [...(await findStuck(database, thresholdMs, limit)), ...unseen]
    const counts = await database.execute<{ status: string; count: number; oldestSeconds: number }>(countStatement)
    for (const status of ['running', 'waiting', 'parked'])
      metrics.sagaInstances.set({ status }, counts.find((row) => row.status === status)?.count ?? 0)
    const turns = counts.filter(({ status }) => status !== 'waiting').map(({ oldestSeconds }) => oldestSeconds)
    const waits = unseen.map(({ updatedAt }) => (Date.now() - Date.parse(updatedAt)) / 1_000)
    metrics.sagaOldestSeconds.set(Math.max(0, ...turns, ...waits))
    for (const instance of stuck) logger.warn(instance, 'a fulfilment makes no progress')
    return stuck
  }

  return {
    look,
    run: async (signal) => {
      while (!signal.aborted) {
        await look().catch((error: unknown) => logger.debug({ error: String(error) }, 'the watchdog could not look'))
        await pause(everyMs, signal)
      }
    },
  }
}
