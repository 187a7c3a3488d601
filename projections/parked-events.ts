import { type Database, isTransient } from '../platform/database.ts'
import type { Logger } from '../platform/logging.ts'
import { decodeEvent } from '../schemas/codec.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { drainParked, failedAgain, ParkedStreamsChanged, readParkedStream } from './parking.ts'
import type { Projection } from './projection.ts'

/** An event that a projection could not apply, or that waits behind one. */
export interface ParkedEvent {
  readonly projection: string
  readonly stream: string
  readonly revision: bigint
  readonly position: bigint
  /** `failed`: it was tried itself. `behind`: an earlier event of its stream is parked. */
  readonly status: 'failed' | 'behind'
  readonly event: unknown
  readonly error: string | null
  /** PostgreSQL's code for the error, when it came from there. */
  readonly sqlstate: string | null
  readonly stack: string | null
  readonly attempts: number
  /** ISO 8601. */
  readonly firstAt: string
  readonly lastAt: string
}

export interface ParkedEvents {
  /** In log order. `after` is the last event of the page before. */
  list(query: {
    readonly projection?: string
    readonly after?: { readonly position: bigint; readonly projection: string }
    readonly limit: number
  }): Promise<readonly ParkedEvent[]>
  show(projection: string, stream: string, revision: bigint): Promise<ParkedEvent | undefined>
  /**
   * Applies a stream's parked events in order, until one fails again.
   *
   * @returns how many were applied and how many stay parked; undefined when nothing of the stream was parked
   * @throws EngineUnavailable
   */
  retry(
    projection: string,
    stream: string,
    who: { readonly operator: string; readonly reason: string },
  ): Promise<{ readonly applied: number; readonly parked: number } | undefined>
}

const columns = `projection, stream, revision, position, status, event, error, sqlstate, stack, attempts,
  first_at as "firstAt", last_at as "lastAt"`

/** Events that are tried together; one by one once that has failed. */
const together = 200

const decodeParked = (event: unknown) => {
  const stored = event as Omit<StoredEvent, 'revision' | 'position'> & { revision: string; position: string }
  return decodeEvent({ ...stored, revision: BigInt(stored.revision), position: BigInt(stored.position) })
}

/** @param deps.projections those whose parked events can be retried here */
export const createParkedEvents = (deps: {
  readonly database: Database
  readonly projections: readonly Projection[]
  readonly logger: Logger
  /** The log, so that a sink that nobody prepared in this process knows where its checkpoints stand. */
  readonly log: { identity(): Promise<string> }
  /** Where a stream lies now; default: where it lay when it was parked. */
  readonly partitionOf?: (stream: string) => number
}): ParkedEvents => {
  const { database, logger } = deps
  const projections = new Map(deps.projections.map((projection) => [projection.name, projection]))

  const drain = async (projection: Projection, stream: string): Promise<number> => {
    const { name, sink } = projection
    await sink.prepare(await deps.log.identity())
    let applied = 0
    let limit = together
    for (;;) {
      const parked = await readParkedStream(database, name, stream, limit)
      const [first] = parked
      if (!first) return applied
      try {
        await sink.applyLate({
          partition: deps.partitionOf?.(stream) ?? first.partition,
          events: parked.map(({ event }) => decodeParked(event)),
          record: (transaction) => drainParked(transaction, name, stream, parked),
        })
        applied += parked.length
      } catch (error) {
        if (isTransient(error)) throw error
        if (error instanceof ParkedStreamsChanged) continue
        if (parked.length === 1) {
          await failedAgain(database, name, stream, first.revision, error)
          return applied
        }
        limit = 1
      }
    }
  }

  return {
    list: ({ projection, after, limit }) =>
      database.query<ParkedEvent>(
        `select ${columns} from platform.parked_events
         where ($1::text is null or projection = $1) and (position, projection) > ($2::bigint, $3::text)
         order by position, projection limit $4`,
        [projection ?? null, after?.position ?? -1n, after?.projection ?? '', limit],
      ),
    show: async (projection, stream, revision) => {
      const [found] = await database.query<ParkedEvent>(
        `select ${columns} from platform.parked_events where projection = $1 and stream = $2 and revision = $3`,
        [projection, stream, revision],
      )
      return found
    },
    retry: async (name, stream, who) => {
      const projection = projections.get(name)
      if (!projection || (await readParkedStream(database, name, stream, 1)).length === 0) return undefined
      const applied = await drain(projection, stream)
      const [left] = await database.query<{ parked: number }>(
        'select count(*)::integer as parked from platform.parked_events where projection = $1 and stream = $2',
        [name, stream],
      )
      const outcome = { applied, parked: left?.parked ?? 0 }
      logger.info({ projection: name, stream, ...who, ...outcome }, 'parked events were retried')
      return outcome
    },
  }
}
