import type { Database } from '../platform/database.ts'
import { GenerationReplaced } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import { prepareLive } from './admission.ts'
import { discardParked, editParked } from './parked-decisions.ts'
import { drainStream } from './parked-drain.ts'
import { readParkedStream } from './parking.ts'
import type { Projection } from './projection.ts'
import type { ReplacementRequest } from './replacement.ts'

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
   * @throws CommandRejected `other-version`; EngineUnavailable
   */
  retry(
    projection: string,
    stream: string,
    who: Operator,
  ): Promise<{ readonly applied: number; readonly parked: number } | undefined>
  /**
   * Puts a replacement beside a parked event; the next attempt, and every rebuild, applies it instead.
   *
   * @returns the number of the edit, from 1; undefined when the event is not parked
   * @throws CommandRejected `event-not-editable`, `invalid-replacement`; EngineUnavailable
   */
  edit(
    projection: string,
    stream: string,
    revision: bigint,
    request: Operator & ReplacementRequest,
  ): Promise<number | undefined>
  /**
   * Takes a parked event out for good: the projection goes without it, in every rebuild too. Later events of the stream
   * stay parked until they are retried.
   *
   * @returns how many of the stream stay parked; undefined when the event is not parked
   * @throws CommandRejected `other-version`; EngineUnavailable
   */
  discard(projection: string, stream: string, revision: bigint, who: Operator): Promise<number | undefined>
}

/** Who decided and why. */
export interface Operator {
  readonly operator: string
  readonly reason: string
}

const columns = `projection, stream, revision, position, status, event, error, sqlstate, stack, attempts,
  first_at as "firstAt", last_at as "lastAt"`

/** @param deps.projections those whose parked events can be retried here */
export const createParkedEvents = (deps: {
  readonly database: Database
  readonly projections: readonly Projection[]
  readonly logger: Logger
  /** The log, so that a sink that nobody prepared in this process knows where its checkpoints stand. */
  readonly log: { identity(): Promise<string> }
  /** Where a stream lies, when the feed has partitions. What was parked while a generation was loaded lay in a lane. */
  readonly partitionOf?: (stream: string) => number
}): ParkedEvents => {
  const { database, logger } = deps
  const projections = new Map(deps.projections.map((projection) => [projection.name, projection]))

  /** Writes to the live generation, and to the next one when they are swapped meanwhile. */
  const inLive = async <Result>(projection: Projection, work: () => Promise<Result>): Promise<Result> => {
    for (let tries = 1; ; tries += 1)
      try {
        await prepareLive(database, deps.log, projection)
        return await work()
      } catch (error) {
        if (!(error instanceof GenerationReplaced) || tries === 3) throw error
      }
  }

  const drain = (projection: Projection, stream: string): Promise<number> =>
    inLive(projection, () => {
      const { name, sink } = projection
      return drainStream({ database, sink, name, stream, partition: deps.partitionOf?.(stream) ?? 0 })
    })

  const left = async (projection: string, stream: string): Promise<number> => {
    const [row] = await database.query<{ parked: number }>(
      'select count(*)::integer as parked from platform.parked_events where projection = $1 and stream = $2',
      [projection, stream],
    )
    return row?.parked ?? 0
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
      const outcome = { applied, parked: await left(name, stream) }
      logger.info({ projection: name, stream, ...who, ...outcome }, 'parked events were retried')
      return outcome
    },
    edit: async (name, stream, revision, { operator, reason, ...request }) => {
      const edit = await editParked(database, { projection: name, stream, revision }, { operator, reason }, request)
      if (edit !== undefined)
        logger.warn(
          { projection: name, stream, revision: String(revision), edit, operator, reason },
          'a parked event was given a replacement',
        )
      return edit
    },
    discard: async (name, stream, revision, who) => {
      const projection = projections.get(name)
      if (!projection) return undefined
      const place = { projection: name, stream, revision }
      const work = () => discardParked(database, projection.sink, place, who, deps.partitionOf)
      if (!(await inLive(projection, work))) return undefined
      logger.warn({ ...place, revision: String(revision), ...who }, 'a parked event was discarded: there is a gap')
      return left(name, stream)
    },
  }
}
