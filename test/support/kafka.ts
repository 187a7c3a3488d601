import { randomUUID } from 'node:crypto'
import type { Admin, Kafka, KafkaMessage } from 'kafkajs'
import { type Database, openDatabase } from '../../platform/database.ts'
import type { EventFeed } from '../../platform/event-feed.ts'
import type { EventStore } from '../../platform/event-store.ts'
import { createKafka, type KafkaAddress } from '../../platform/kafka-client.ts'
import { createKafkaEventFeed } from '../../platform/kafka-event-feed.ts'
import { createKafkaRelay, type KafkaRelayDependencies } from '../../platform/kafka-relay.ts'
import { openLeases } from '../../platform/leases.ts'
import { createLogEventFeed } from '../../platform/log-event-feed.ts'
import { silentLogger } from '../../platform/logging.ts'
import { createMetrics } from '../../platform/metrics.ts'
import { createPartitioning } from '../../platform/partitioning.ts'
import { openPostgresEventStore } from '../../platform/postgres-event-store.ts'
import { createConsistencyWaiter } from '../../projections/consistency.ts'
import type { Projection } from '../../projections/projection.ts'
import { createProjector, type ProjectorDependencies } from '../../projections/projector.ts'
import { decodeEvent } from '../../schemas/decoding.ts'
import type { RecordedEvent, StoredEvent } from '../../schemas/envelope.ts'
import { openTestDatabase } from './postgres.ts'

const brokers = process.env.ORDERLOG_TEST_KAFKA_BROKERS

/** Says in the suite's name why it was left out. */
export const withoutKafka = !brokers
export const kafkaSuite = (name: string): string =>
  withoutKafka ? `${name} (skipped: ORDERLOG_TEST_KAFKA_BROKERS names no Kafka)` : name

export const testKafkaAddress = (): KafkaAddress => ({ brokers: (brokers ?? '').split(','), tls: false })
const logger = silentLogger

export const testPartitions = 3

/** A log in a database of its own, to be carried to a topic of its own. */
export const openKafkaRig = async (
  options: {
    readonly partitions?: number
    readonly decode?: (stored: StoredEvent) => RecordedEvent
    /** Another store than that of the database. */
    readonly openStore?: (database: Database) => EventStore & { close(): Promise<void> }
  } = {},
) => {
  const { partitions = testPartitions, decode = decodeEvent } = options
  const { openStore = (database: Database) => openPostgresEventStore({ database, logger, pollMs: 50 }) } = options
  const test = await openTestDatabase({ max: 12 })
  const { database } = test
  const namespace = `test-${randomUUID()}`
  const kafka = createKafka(testKafkaAddress(), { logger, clientId: namespace, requestTimeoutMs: 5_000 })
  const store = openStore(database)
  const topic = `${namespace}.log.${await store.identity()}`
  const running = new Set<() => Promise<void>>()

  const keep = (close: () => Promise<void>): (() => Promise<void>) => {
    const once = async () => {
      if (running.delete(once)) await close()
    }
    running.add(once)
    return once
  }

  /** A process' worth of relay. */
  const startRelay = (more: Partial<KafkaRelayDependencies> = {}) => {
    const leases = openLeases({ database, logger, retryMs: 20 })
    const metrics = createMetrics()
    const topicOptions = { partitions, replicationFactor: 1, retentionMs: 3_600_000 }
    const relay = createKafkaRelay({
      ...{ kafka, namespace, store, database, leases, logger, metrics, ...topicOptions, ...more },
    })
    const stopping = new AbortController()
    const ended = relay.run(stopping.signal)
    const stop = keep(async () => {
      stopping.abort()
      await ended
      await leases.close()
    })
    return { ...relay, metrics, leases, stop }
  }

  /** A process' worth of consumers: pool, store, feed. */
  const openMember = async (client: Kafka = kafka) => {
    const pool = openDatabase(test.url, { max: 4, logger })
    const own = openStore(pool)
    const leases = openLeases({ database: pool, logger, retryMs: 20 })
    const log = createLogEventFeed({ store: own, leases, decode, logger })
    const metrics = createMetrics()
    const feed: EventFeed & { close(): Promise<void> } = createKafkaEventFeed({
      ...{ kafka: client, namespace, partitions, store: own, log, decode, logger, metrics },
    })
    const close = keep(async () => {
      await feed.close()
      log.close()
      await leases.close()
      await own.close()
      await pool.close()
    })
    return { feed, metrics, store: own, close }
  }

  /** Runs projections on a member, as a process would; resolves what each has to say and how to stop them. */
  const startProjectors = (
    member: { readonly feed: EventFeed },
    projections: readonly Projection[],
    more: Partial<ProjectorDependencies> = {},
  ) => {
    const stopping = new AbortController()
    const metrics = createMetrics()
    const projectors = projections.map((projection) =>
      createProjector({ ...{ projection, feed: member.feed, log: store, database, logger, metrics }, ...more }),
    )
    const ended = Promise.all(projectors.map((projector) => projector.run(stopping.signal)))
    const stop = keep(async () => {
      stopping.abort()
      await ended
    })
    return { stop, status: () => projectors.map((projector) => projector.status()) }
  }

  const consistency = createConsistencyWaiter({
    database,
    logger,
    partitions: createPartitioning(partitions).partitions,
  })
  /** Waits until every partition of the projections has come to the end of the log as it is now. */
  const caughtUp = async (projections: readonly Projection[], withinMs = 30_000): Promise<void> => {
    const names = projections.map(({ name }) => name)
    const head = await store.head()
    if (await consistency.waitFor(names, head, withinMs)) return
    const rows = await database.query('select * from platform.checkpoints')
    throw new Error(
      `not at ${head}: ${JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? `${value}` : value))}`,
    )
  }

  const administer = async <Result>(work: (admin: Admin) => Promise<Result>): Promise<Result> => {
    const admin = kafka.admin()
    await admin.connect()
    return work(admin).finally(() => admin.disconnect())
  }

  /** Every message of the topic, by partition, in order. */
  const messages = async (): Promise<ReadonlyMap<number, readonly KafkaMessage[]>> => {
    const ends = await administer((admin) => admin.fetchTopicOffsets(topic))
    const found = new Map(ends.map(({ partition }) => [partition, [] as KafkaMessage[]]))
    const missing = new Set(ends.filter(({ low, high }) => low !== high).map(({ partition }) => partition))
    const consumer = kafka.consumer({ groupId: `${namespace}.look-${randomUUID()}`, maxWaitTimeInMs: 50 })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      if (missing.size === 0) return resolve()
      consumer
        .run({
          eachBatch: async ({ batch }) => {
            found.get(batch.partition)?.push(...batch.messages)
            const end = ends.find(({ partition }) => partition === batch.partition)
            if (end && BigInt(batch.lastOffset()) + 1n >= BigInt(end.high)) missing.delete(batch.partition)
            if (missing.size === 0) resolve()
          },
        })
        .catch(reject)
    })
    await consumer.disconnect()
    return found
  }

  return {
    ...test,
    startProjectors,
    caughtUp,
    administer,
    messages,
    kafka,
    namespace,
    topic,
    partitions,
    store,
    startRelay,
    openMember,
    deleteTopic: () => administer((admin) => admin.deleteTopics({ topics: [topic] })),
    close: async () => {
      for (const close of [...running].reverse()) await close()
      await administer(async (admin) => {
        await admin.deleteTopics({ topics: [topic] }).catch(() => undefined)
        const { groups } = await admin.listGroups()
        const ours = groups.map(({ groupId }) => groupId).filter((groupId) => groupId.startsWith(namespace))
        await admin.deleteGroups(ours).catch(() => undefined)
      })
      await store.close()
      await test.drop()
    },
  }
}

export type KafkaRig = Awaited<ReturnType<typeof openKafkaRig>>
