import { setMaxListeners } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Kafka } from 'kafkajs'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import type { ConsumeOptions, EventFeed, FeedBatch } from './event-feed.ts'
import type { EventStore } from './event-store.ts'
import { EngineUnavailable, TopicHeldBack } from './failures.ts'
import { kafkaUnavailable } from './kafka-client.ts'
import { createGroupMember, type GroupMember, type Round } from './kafka-group-member.ts'
import { createMessageReader } from './kafka-message-reader.ts'
import { createPartitionReader, type PartitionReader } from './kafka-partition-reader.ts'
import { offsetHints, startOf } from './kafka-placement.ts'
import { topicExtents, topicOf } from './kafka-topic.ts'
import { createLogHead } from './log-head.ts'
import { createLogWatch } from './log-watch.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import { createPartitioning } from './partitioning.ts'
import { patiently } from './patiently.ts'
import { backOffMs, pause } from './pause.ts'

export interface KafkaEventFeed extends EventFeed {
  /** Ends every consumer. */
  close(): Promise<void>
}

export interface KafkaEventFeedDependencies {
  readonly kafka: Kafka
  /** Begins the names of topic and groups. */
  readonly namespace: string
  /** Of the topic, as the relay has made it. */
  readonly partitions: number
  readonly store: EventStore
  /** Observers follow the log itself: it alone has the order of the whole. */
  readonly log: Pick<EventFeed, 'follow'>
  /** Looks whether the topic may be consumed. @throws TopicHeldBack when not, EngineUnavailable */
  readonly guard?: { check(topic: string): Promise<void> }
  readonly decode: (stored: StoredEvent) => RecordedEvent
  readonly logger: Logger
  readonly metrics: Metrics
}

/** How often an idle consumer is told where the log ends, milliseconds. */
const headEveryMs = 1_000
/** Events that a consumer is told of ahead at once. */
const pieceSize = 250

/**
 * The feed over Kafka: a group shares the topic's partitions, n of Kafka is n + 1 of ours.
 *
 * Where a consumer stands is known to its sink alone. An offset is a hint where to find the position, and every message
 * says what comes before it in its partition; whatever is missing, for whatever reason, is read from the event store.
 */
export const createKafkaEventFeed = (deps: KafkaEventFeedDependencies): KafkaEventFeed => {
  const { kafka, namespace, store, log, logger, metrics } = deps
  const partitioning = createPartitioning(deps.partitions)
  const head = createLogHead(store)
  const watch = createLogWatch({ store, logger })
  const messages = createMessageReader(deps.decode, watch)
  let watching = false
  const closed = new AbortController()
  setMaxListeners(0, closed.signal)
  const admin = kafka.admin()
  let connecting: Promise<void> | undefined

  const connectedAdmin = async () => {
    connecting ??= admin.connect().catch((error: unknown) => {
      connecting = undefined
      throw kafkaUnavailable(error)
    })
    await connecting
    return admin
  }

  /** Finds out where each partition of a new round stands; what Kafka no longer has comes from the store at once. */
  async function* place(
    round: Round,
    member: GroupMember,
    readers: ReadonlyMap<number, PartitionReader>,
    context: { group: string; groupId: string; topic: string; options: ConsumeOptions; signal: AbortSignal },
  ): AsyncGenerator<FeedBatch> {
    const { groupId, topic, options, signal } = context
    const ending = AbortSignal.any([signal, round.over])
    options.onAssigned?.(round.partitions.map((partition) => partition + 1))
    if (round.partitions.length === 0) return
    const client = await connectedAdmin()
    const [extents, hints] = await Promise.all([topicExtents(client, topic), offsetHints(client, groupId, topic)])
    const behind: PartitionReader[] = []
    for (const [partition, reader] of readers) {
      const position = await patiently(() => options.checkpoint(partition + 1), ending, logger)
      if (position === undefined || ending.aborted) return
      const extent = extents.get(partition) ?? { low: 0n, high: 0n }
      const start = startOf(position, extent, hints.get(partition))
      member.seek(partition, start.offset)
      reader.place(position, extent.low, start)
      if (start.how === 'first' && start.offset === extent.high) behind.push(reader)
      else reader.ready()
    }
    for (const reader of behind) {
      const end = await patiently(head.refresh, ending, logger)
      if (end === undefined) return
      yield* reader.fromStore(end, ending)
      reader.ready()
    }
  }

  async function* belong(
    group: string,
    topic: string,
    options: ConsumeOptions,
    signal: AbortSignal,
  ): AsyncGenerator<FeedBatch> {
    const groupId = `${namespace}.${group}`
    const { types, batchSize = 1_000 } = options
    const wanted = types && new Set(types)
    let readers = new Map<number, PartitionReader>()
    let placed: Round | undefined
    const member = createGroupMember({
      ...{ kafka, topic, groupId, logger },
      concurrency: deps.partitions,
      assigned: (round) => {
        readers = new Map(
          round.partitions.map((partition) => [
            partition,
            createPartitionReader({
              ...{ round, partition, member: () => member, store, partitioning, head, messages, batchSize, wanted },
              lost: (from, to) => {
                metrics.feedGaps.inc({ consumer: group, partition: String(partition + 1) })
                const span = { from: from.toString(), to: to.toString() }
                logger.warn(
                  { consumer: group, partition: partition + 1, ...span },
                  'Kafka no longer has what a consumer needs: it is read from the event store',
                )
              },
              signal,
              logger,
            }),
          ]),
        )
      },
      read: async (payload, beating) => readers.get(payload.batch.partition)?.read(payload, beating),
    })
    /** In pieces, between which the consumer hears its own engine. */
    const tellAhead = async ({ peek }: GroupMember): Promise<void> => {
      const next = options.ahead && peek()
      for (let first = 0; next && first < next.events.length; first += pieceSize) {
        await nextTurn()
        if (peek() !== next) return
        options.ahead?.(next.events.slice(first, first + pieceSize))
      }
    }
    try {
      await member.start()
      let told = 0n
      while (!signal.aborted) {
        watch.demand()
        const round = member.round()
        if (round && round !== placed && !round.over.aborted) {
          placed = round
          yield* place(round, member, readers, { group, groupId, topic, options, signal })
          continue
        }
        const batch = member.take()
        if (batch) {
          void tellAhead(member)
          yield batch
          member.handled()
          continue
        }
        if (await member.changed(signal, headEveryMs)) continue
        const end = await head.refresh().catch(() => head.known())
        if (end > told) for (const reader of readers.values()) yield* reader.headMoved(end)
        told = end
      }
    } finally {
      await member.close()
    }
  }

  async function* consume(group: string, options: ConsumeOptions): AsyncGenerator<FeedBatch> {
    setMaxListeners(0, options.signal)
    const signal = AbortSignal.any([options.signal, closed.signal])
    setMaxListeners(0, signal)
    const identity = await patiently(() => store.identity(), signal, logger)
    if (identity === undefined) return
    const topic = topicOf(namespace, identity)
    if (!watching) void watch.run(closed.signal)
    watching = true
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        // Whoever comes anew may come because its checkpoint was put back, together with the log.
        await watch.check()
        await deps.guard?.check(topic)
        for await (const batch of belong(group, topic, options, signal)) {
          watch.demand()
          attempt = 0
          yield batch
        }
      } catch (error) {
        // Who must not begin says why, instead of waiting here.
        if (!(error instanceof EngineUnavailable) || error instanceof TopicHeldBack) throw error
        if (attempt === 0) logger.warn({ consumer: group, error: error.message }, 'a consumer waits for Kafka')
      }
      await pause(backOffMs(attempt), signal)
    }
  }

  return {
    partitions: partitioning.partitions,
    consume,
    follow: log.follow,
    head: () => store.head(),
    close: async () => {
      closed.abort()
      if (connecting !== undefined) await admin.disconnect().catch(() => undefined)
    },
  }
}
