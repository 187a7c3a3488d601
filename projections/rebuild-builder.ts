import type { Database } from '../platform/database.ts'
import type { FeedEvent } from '../platform/event-feed.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import { createPartitioning, isSealed } from '../platform/partitioning.ts'
import { schemaOfGeneration } from '../platform/read-model-generations.ts'
import { createRelevance } from '../platform/relevance.ts'
import { type StreamShare, shareOf } from '../platform/stream-share.ts'
import { readWhole } from '../platform/unread-metadata.ts'
import { anticipates } from './anticipate.ts'
import { createApplier, type ParkedStreams, ProjectionStopped, TooManyParkedStreams } from './applier.ts'
import { isExhausted, sqlStateOf } from './exhausted.ts'
import { type Drained, drainParkedOfGeneration } from './parked-generation.ts'
import { checkpointInPartition } from './partition-handover.ts'
import type { Projection } from './projection.ts'
import type { ErrorPolicy } from './verdict.ts'
import { BuildFenced } from './window-sink.ts'

/** There is no such table, or no such schema. */
const gone = /^(42P01|3F000)/

/**
 * A bulk load that meets a full disk says so and stands still, instead of trying for ever; one whose generation was dropped
 * under it blames no event for that.
 */
const givingUp =
  (isThere: () => Promise<boolean>) =>
  async <Result>(work: Promise<Result>): Promise<Result> => {
    try {
      return await work
    } catch (error) {
      if (gone.test(sqlStateOf(error)) && !(await isThere())) throw new BuildFenced('the generation was dropped')
      if (isExhausted(error)) throw new ProjectionStopped(String((error as Error).message))
      throw error
    }
  }

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
   * What a sink applies in windows may not be written yet when this is over, see `flush`.
   *
   * @throws ProjectionStopped, BuildFenced, WindowLost, EngineUnavailable
   */
  apply(events: readonly FeedEvent[], to: bigint, signal: AbortSignal): Promise<boolean>
  /** Writes all that was taken in. Not while it applies. @throws ProjectionStopped, BuildFenced, WindowLost */
  flush(): Promise<void>
}

interface Lane {
  readonly partition: number
  readonly applier: ReturnType<typeof createApplier>
  readonly flush: () => Promise<void>
  position: bigint
}

/**
 * Opens a generation to be built, where it stands. Its writers share the streams as the partitions of a feed do, each with
 * a checkpoint of its own; events that fail are parked under `<projection>@<generation>`, by the same policy as live.
 *
 * @param building.windowEvents while it is loaded: asked before every batch how many events are written together
 * @param building.lanes while it is loaded: how many writers; afterwards: the partitions of the feed
 * @param building.share only the writers of these streams, while others have the rest: as many shares as lanes, or a divisor; whoever opens it whole, first, does
 * what is to be done once
 * @param building.parkedStreams those that have parked events, for a ceiling that is shared with others
 */
export const openBuilder = async (building: {
  readonly projection: Projection
  readonly generation: number
  readonly lanes: number | readonly number[]
  readonly share?: StreamShare
  readonly parkedStreams?: ParkedStreams
  readonly windowEvents: () => number
  readonly store: Pick<EventStore, 'readStream'>
  readonly logIdentity: string
  readonly database: Database
  readonly policy: ErrorPolicy
  readonly logger: Logger
  /** Told the reason when it begins to wait, and undefined when it goes on. */
  readonly onWait: (reason: string | undefined) => void
}): Promise<Builder> => {
  const { projection, generation, database, policy, logger, onWait, share, parkedStreams = new Set() } = building
  if (!projection.generations) throw new ProjectionStopped(`${projection.name} has no generations`)
  const isThere = async (): Promise<boolean> => {
    const schema = schemaOfGeneration(projection.name, generation)
    return (await database.query('select 1 from pg_namespace where nspname = $1', [schema])).length > 0
  }
  const sink = projection.generations.at(generation)
  const orGiveUp = givingUp(isThere)
  await sink.prepare(building.logIdentity)
  const name = `${projection.name}@${generation}`
  let handled = 0

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
    const windowed = typeof building.lanes === 'number' ? sink.inWindows?.(building.windowEvents) : undefined
    const { apply } = windowed ?? sink
    const applier = createApplier({
      projection: { ...projection, name, sink: { ...sink, apply: (batch) => orGiveUp(apply(batch)) } },
      database,
      policy,
      logger,
      parkedStreams,
      readWhole: (events) => readWhole(building.store, events),
      onStep,
      onWait,
    })
    const flush = async () => orGiveUp(windowed?.flush() ?? Promise.resolve())
    const lane: Lane = { partition, applier, flush, position }
    return lane
  }
  const partitions =
    typeof building.lanes !== 'number'
      ? building.lanes
      : building.lanes === 1
        ? [0]
        : createPartitioning(building.lanes).partitions
  const isOurs = (lane: number): boolean => share === undefined || lane % share.of === share.index
  const laneAt = await Promise.all(partitions.map(async (partition, lane) => isOurs(lane) && openLane(partition)))
  const lanes = laneAt.filter((lane) => lane !== false)
  const spread = createPartitioning(laneAt.length)
  const indexOf =
    typeof building.lanes === 'number'
      ? (stream: string) => shareOf(stream, laneAt.length)
      : (stream: string) => spread.of(stream) - 1
  const laneOf = (stream: string): Lane => {
    const lane = laneAt[laneAt.length === 1 ? 0 : indexOf(stream)]
    // It would be in the wrong hands, or in nobody's.
    if (!lane) throw new Error(`${stream} was read for another writer of ${name} than the one it belongs to`)
    return lane
  }
  /** Whoever is the only one here need not ask whose a stream is, except where it begins. */
  const alone = lanes.length === 1 ? lanes[0] : undefined
  const partitionOf = (stream: string): number => laneOf(stream).partition
  const drainParked = async (): Promise<Drained> => {
    const drained = await drainParkedOfGeneration({
      ...{ database, generation, sink, partitionOf },
      projection: projection.name,
    })
    for (const { applier } of lanes) await applier.load()
    return drained
  }
  if (share) for (const { applier } of lanes) await applier.load()
  else await drainParked()
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
    flush: async () => {
      const flushed = await Promise.allSettled(lanes.map((lane) => lane.flush()))
      const failure = flushed.find((outcome) => outcome.status === 'rejected')
      if (failure) throw failure.reason
    },
    apply: async (events, to, signal) => {
      const shares = new Map<Lane, FeedEvent[]>(lanes.map((lane) => [lane, []]))
      for (const event of events) {
        if (!isRelevant(event.stored)) continue
        const { stream, revision } = event.stored
        const lane = revision > 0n && alone ? alone : laneOf(stream)
        if (event.stored.position > lane.position) shares.get(lane)?.push(event)
      }
      const outcomes = await Promise.allSettled([...shares].map(([lane, share]) => applyTo(lane, share, to, signal)))
      const failure = outcomes.find((outcome) => outcome.status === 'rejected')
      if (failure) throw failure.reason
      for (const share of shares.values()) handled += share.length
      return outcomes.every((outcome) => outcome.status === 'fulfilled' && outcome.value)
    },
  }
}
