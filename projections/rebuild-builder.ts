import type { Database } from '../platform/database.ts'
import type { FeedEvent } from '../platform/event-feed.ts'
import type { Logger } from '../platform/logging.ts'
import { createPartitioning, isSealed } from '../platform/partitioning.ts'
import { schemaOfGeneration } from '../platform/read-model-generations.ts'
import { createRelevance } from '../platform/relevance.ts'
import { anticipates } from './anticipate.ts'
import { createApplier, ProjectionStopped, TooManyParkedStreams } from './applier.ts'
import { type Drained, drainParkedOfGeneration } from './parked-generation.ts'
import { checkpointInPartition } from './partition-handover.ts'
import type { BuildableSink, Projection } from './projection.ts'
import type { ErrorPolicy } from './verdict.ts'

/** Somebody else writes to the generation, or has dropped it: this process has lost the rebuild. */
export class BuildFenced extends ProjectionStopped {}

/** What no waiting mends: a full disk, memory or a limit that has run out, a statement that takes too long. */
const exhausted = /^(53100|53200|53400|57014)/

const sqlStateOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const { code } = cause as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/** Whether an operator has to do something before the same can succeed. */
export const isExhausted = (error: unknown): boolean => exhausted.test(sqlStateOf(error))

/** There is no such table, or no such schema. */
const gone = /^(42P01|3F000)/

/**
 * A bulk load that meets a full disk says so and stands still, instead of trying for ever; one whose generation was dropped
 * under it blames no event for that.
 */
const givingUp = (sink: BuildableSink, isThere: () => Promise<boolean>): BuildableSink => ({
  ...sink,
  apply: async (batch) => {
    try {
      return await sink.apply(batch)
    } catch (error) {
      if (gone.test(sqlStateOf(error)) && !(await isThere())) throw new BuildFenced('the generation was dropped')
      if (isExhausted(error)) throw new ProjectionStopped(String((error as Error).message))
      throw error
    }
  },
})

/** Nobody looks whether fewer are parked, as the live projection does. */
const explain = (error: unknown): never => {
  if (!(error instanceof TooManyParkedStreams)) throw error
  throw new ProjectionStopped(
    `${error.message}; mend the handler, edit or discard events, or raise ORDERLOG_MAX_PARKED_STREAMS, and resume the rebuild; or drop the generation`,
  )
}

/** One generation on its way to the end of the log. */
export interface Builder {
  readonly projection: Projection
  /** Where a stream lies in the checkpoints. */
  partitionOf(stream: string): number
  /** Does to what it has parked what was done to the live one meanwhile. Not while it applies. */
  drainParked(): Promise<Drained>
  /** It has everything up to here. */
  position(): bigint
  /** How many events it has handled here. */
  handled(): number
  /** Begins what can be done early for events that will be applied next. */
  anticipate(events: readonly FeedEvent[]): void
  /**
   * Applies consecutive events of the log, those of each lane by a writer of its own.
   *
   * @param to where they end
   * @returns false when it was aborted first
   * @throws ProjectionStopped, BuildFenced, EngineUnavailable
   */
  apply(events: readonly FeedEvent[], to: bigint, signal: AbortSignal): Promise<boolean>
}

/** Ids differ most at their end. Lanes are of no account once the load is over, so it need not be Kafka's. */
const cheapHash = (stream: string): number => {
  let hash = 0
  for (let index = Math.max(0, stream.length - 8); index < stream.length; index += 1)
    hash = (hash * 31 + stream.charCodeAt(index)) | 0
  return hash >>> 0
}

interface Lane {
  readonly partition: number
  readonly applier: ReturnType<typeof createApplier>
  position: bigint
}

/**
 * Opens a generation to be built, where it stands. Its writers share the streams as the partitions of a feed do, each with
 * a checkpoint of its own; events that fail are parked under `<projection>@<generation>`, by the same policy as live.
 *
 * @param building.lanes while it is loaded: how many writers; afterwards: the partitions of the feed
 */
export const openBuilder = async (building: {
  readonly projection: Projection
  readonly generation: number
  readonly lanes: number | readonly number[]
  readonly logIdentity: string
  readonly database: Database
  readonly policy: ErrorPolicy
  readonly logger: Logger
  /** Told the reason when it begins to wait, and undefined when it goes on. */
  readonly onWait: (reason: string | undefined) => void
}): Promise<Builder> => {
  const { projection, generation, database, policy, logger, onWait } = building
  if (!projection.generations) throw new ProjectionStopped(`${projection.name} has no generations`)
  const isThere = async (): Promise<boolean> => {
    const schema = schemaOfGeneration(projection.name, generation)
    return (await database.query('select 1 from pg_namespace where nspname = $1', [schema])).length > 0
  }
  const sink = givingUp(projection.generations.at(generation), isThere)
  await sink.prepare(building.logIdentity)
  const name = `${projection.name}@${generation}`
  let handled = 0
  const parkedStreams = new Set<string>()

  const openLane = async (partition: number): Promise<Lane> => {
    const { position } =
      // Number 0 is the log as a whole, which was handed over to nobody.
      typeof building.lanes === 'number' || partition === 0
        ? await sink.checkpoint(partition)
        : await checkpointInPartition(sink, partition, async () => undefined)
    // It lies beyond every position, and all that is missing would count as applied.
    if (isSealed(position))
      throw new ProjectionStopped(
        `${name} stands in partitions since Kafka has carried the log, and this process reads the log as a whole; drop it, and rebuild it anew`,
      )
    const onStep = (_partition: number, reached: bigint) => {
      lane.position = reached
    }
    const applier = createApplier({
      projection: { ...projection, name, sink },
      database,
      policy,
      logger,
      parkedStreams,
      onStep,
      onWait,
    })
    const lane: Lane = { partition, applier, position }
    return lane
  }
  const partitions =
    typeof building.lanes !== 'number'
      ? building.lanes
      : building.lanes === 1
        ? [0]
        : createPartitioning(building.lanes).partitions
  const lanes = await Promise.all(partitions.map(openLane))
  const spread = createPartitioning(lanes.length)
  const shareOf =
    typeof building.lanes === 'number'
      ? (stream: string) => cheapHash(stream) % lanes.length
      : (stream: string) => spread.of(stream) - 1
  const laneOf = (stream: string): Lane | undefined => (lanes.length === 1 ? lanes[0] : lanes[shareOf(stream)])
  const partitionOf = (stream: string): number => laneOf(stream)?.partition ?? 0
  const drainParked = async (): Promise<Drained> => {
    const drained = await drainParkedOfGeneration({
      ...{ database, generation, sink, partitionOf },
      projection: projection.name,
    })
    for (const { applier } of lanes) await applier.load()
    return drained
  }
  await drainParked()
  const isRelevant = createRelevance(projection.types)

  const applyTo = async (lane: Lane, events: readonly FeedEvent[], to: bigint, signal: AbortSignal) => {
    if (to <= lane.position) return true
    const outcome = await lane.applier.apply(lane.partition, lane.position, { events, to }, signal).catch(explain)
    if (outcome === 'fenced') throw new BuildFenced(`somebody else writes to ${name}`)
    return outcome === 'applied'
  }

  return {
    projection,
    partitionOf,
    drainParked,
    position: () =>
      lanes.reduce((least, { position }) => (position < least ? position : least), lanes[0]?.position ?? 0n),
    handled: () => handled,
    anticipate: anticipates(projection, isRelevant),
    apply: async (events, to, signal) => {
      const shares = new Map<Lane, FeedEvent[]>(lanes.map((lane) => [lane, []]))
      for (const event of events) {
        if (!isRelevant(event.stored)) continue
        const lane = laneOf(event.stored.stream)
        if (lane && event.stored.position > lane.position) shares.get(lane)?.push(event)
      }
      const outcomes = await Promise.allSettled([...shares].map(([lane, share]) => applyTo(lane, share, to, signal)))
      const failure = outcomes.find((outcome) => outcome.status === 'rejected')
      if (failure) throw failure.reason
      for (const share of shares.values()) handled += share.length
      return outcomes.every((outcome) => outcome.status === 'fulfilled' && outcome.value)
    },
  }
}
