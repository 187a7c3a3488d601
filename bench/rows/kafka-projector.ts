import { randomUUID } from 'node:crypto'
import type { EachBatchPayload } from 'kafkajs'
import { createKafkaEventFeed } from '../../platform/kafka-event-feed.ts'
import { decodeMessage } from '../../platform/kafka-message.ts'
import { openLeases } from '../../platform/leases.ts'
import { createLogEventFeed } from '../../platform/log-event-feed.ts'
import { silentLogger as logger } from '../../platform/logging.ts'
import { createMetrics } from '../../platform/metrics.ts'
import { createPersonalDataVault } from '../../platform/personal-data.ts'
import { orderDetails } from '../../projections/order-details.ts'
import { createPostgresProjection } from '../../projections/postgres-sink.ts'
import { createProjector } from '../../projections/projector.ts'
import { decodeEvent } from '../../schemas/decoding.ts'
import type { Contender, Row } from '../contender.ts'
import { openKafkaSide, partitions, withoutKafka } from '../kafka-side.ts'
import { openOurs } from '../ours.ts'
import { seedOrders } from './order-details.ts'

const events = 60_000

const filled = async (bench: Parameters<Contender['open']>[0]) => {
  const log = await openOurs(bench)
  const vault = createPersonalDataVault(log.database)
  await seedOrders(log, vault, events / 4)
  await log.database.query('analyze log.events')
  const side = openKafkaSide()
  const { namespace, topic } = await side.newTopic(await log.store.identity())
  await side.relayAll(log, namespace, () => undefined)
  return { log, vault, side, namespace, topic }
}

const ours: Contender = {
  count: events,
  warmUp: 0,
  open: async (bench) => {
    const { log, vault, side, namespace } = await filled(bench)
    const { database, store } = log
    const leases = openLeases({ database, logger })
    const metrics = createMetrics()
    const follower = createLogEventFeed({ store, leases, decode: decodeEvent, logger })
    const feed = createKafkaEventFeed({
      ...{ kafka: side.kafka, namespace, partitions, store, log: follower, decode: decodeEvent, logger, metrics },
    })
    const projection = createPostgresProjection(database, orderDetails(vault))
    await projection.sink.prepare(await store.identity())
    const head = await store.head()
    return {
      run: async (count) => {
        await projection.sink.reset()
        const latenciesMs: number[] = []
        const done = new AbortController()
        const missing = new Set(feed.partitions)
        let before = 0
        const onCheckpoint = (_: string, partition: number, position: bigint): void => {
          const now = performance.now()
          if (before > 0) latenciesMs.push(now - before)
          before = now
          if (position >= head) missing.delete(partition)
          if (missing.size === 0) done.abort()
        }
        const started = performance.now()
        await createProjector({ ...{ projection, feed, log: store, database, logger, metrics, onCheckpoint } }).run(
          done.signal,
        )
        const [row] = await database.query<{ done: bigint }>(
          "select count(*) as done from order_details.orders where status = 'delivered' and name is not null",
        )
        if (row?.done !== BigInt(count / 4)) throw new Error(`projected ${row?.done} of ${count / 4} orders`)
        return { done: count, seconds: (before - started) / 1_000, latenciesMs }
      },
      close: async () => {
        await feed.close()
        follower.close()
        await leases.close()
        await side.close()
        await log.close()
      },
    }
  },
}

const raw: Contender = {
  count: events,
  warmUp: 0,
  open: async (bench) => {
    const { log, vault, side, topic } = await filled(bench)
    const { database, store } = log
    const definition = orderDetails(vault)
    const { sink } = createPostgresProjection(database, definition)
    await sink.prepare(await store.identity())
    type Events = Parameters<typeof definition.apply>[2]

    /** Reads the topic once with the client alone, and hands out what each batch holds. */
    const consume = async (count: number, take: (values: readonly Buffer[]) => Promise<void>): Promise<number> => {
      const consumer = side.kafka.consumer({ groupId: `bench-${randomUUID()}`, maxWaitTimeInMs: 250 })
      const started = performance.now()
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      let seen = 0
      const ended = await new Promise<number>((resolve, reject) => {
        const eachBatch = async ({ batch }: EachBatchPayload): Promise<void> => {
          const values = batch.messages.flatMap(({ value }) => (value && value.length > 100 ? [value] : []))
          await take(values)
          seen += values.length
          if (seen >= count) resolve(performance.now())
        }
        consumer.run({ partitionsConsumedConcurrently: partitions, eachBatch }).catch(reject)
      })
      await consumer.disconnect()
      return (ended - started) / 1_000
    }
    const write = (values: readonly Buffer[]): Promise<void> =>
      database.transaction(async (transaction) => {
        const events = values.map((value) => decodeEvent(decodeMessage(value))) as unknown as Events
        if (events.length > 0) await definition.apply(transaction, definition.name, events, { bulk: false })
      })
    return {
      run: async (count) => {
        await sink.reset()
        const seconds = await consume(count, write)
        const alone = await consume(count, async () => undefined)
        const rate = Math.round(count / alone).toLocaleString('en')
        return { done: count, seconds, latenciesMs: [], note: `raw, messages only counted: ${rate} events/s` }
      },
      close: async () => {
        await side.close()
        await log.close()
      },
    }
  },
}

export const kafkaProjector: Row = {
  name: 'kafka-projector',
  unit: 'events/s',
  compares:
    `a topic of ${events.toLocaleString('en')} events in ${partitions} partitions on the Kafka of KAFKA_BROKERS, from ` +
    'the joining of the group to the last event: ours: order_details through feed and projector into PostgreSQL ' +
    '(parsed, persons decrypted, rows and checkpoints written), p50/p99 per batch; raw: kafkajs, eachBatch that parses ' +
    'the messages and writes the same rows, a transaction per batch, without checkpoint, fence or order of the log. ' +
    'Goal: half of raw.',
  skipped: withoutKafka,
  ours,
  raw,
}
