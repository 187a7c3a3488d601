import { randomUUID } from 'node:crypto'
import type { Message } from 'kafkajs'
import { createRelayStream } from '../../platform/kafka-relay-stream.ts'
import { createPartitioning } from '../../platform/partitioning.ts'
import { createPersonalDataVault } from '../../platform/personal-data.ts'
import type { StoredEvent } from '../../schemas/envelope.ts'
import type { Contender, Measured, Row } from '../contender.ts'
import { openKafkaSide, partitions, withoutKafka } from '../kafka-side.ts'
import { newEvent, openOurs } from '../ours.ts'
import { lifeOf } from '../sample-orders.ts'
import { seedOrders } from './order-details.ts'

const events = 60_000
const perRequest = 1_000

const ours: Contender = {
  count: events,
  warmUp: 0,
  open: async (bench) => {
    const log = await openOurs(bench)
    await seedOrders(log, createPersonalDataVault(log.database), events / 4)
    await log.database.query('analyze log.events')
    const side = openKafkaSide()
    return {
      run: async (count) => {
        const { namespace } = await side.newTopic(await log.store.identity())
        let begun = 0
        let ended = 0
        await side.relayAll(log, namespace, () => {
          ended = performance.now()
          begun ||= ended
        })
        return { done: count, seconds: (ended - begun) / 1_000, latenciesMs: [] }
      },
      close: async () => {
        await side.close()
        await log.close()
      },
    }
  },
}

/** As many events as the log has, in memory. */
const history = (count: number): StoredEvent[] => {
  let position = 0n
  return Array.from({ length: count / 4 }, (_, index) => lifeOf(index)).flatMap((life) =>
    life.map((event, revision) => {
      position += 1n
      const place = { stream: `order-${event.data.orderId}`, revision: BigInt(revision), position }
      return { ...newEvent(event), ...place, recordedAt: '2026-11-21T09:30:00.000Z' }
    }),
  )
}

const raw: Contender = {
  count: events,
  warmUp: 0,
  open: async () => {
    const side = openKafkaSide()
    const stored = history(events)
    const producer = side.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
    })
    await producer.connect()
    const produce = async (requests: Iterable<Message[]>): Promise<Pick<Measured, 'seconds' | 'latenciesMs'>> => {
      const { topic } = await side.newTopic(randomUUID())
      const latenciesMs: number[] = []
      const begun = performance.now()
      for (const messages of requests) {
        const start = performance.now()
        await producer.send({ topic, acks: -1, messages })
        latenciesMs.push(performance.now() - start)
      }
      return { seconds: (performance.now() - begun) / 1_000, latenciesMs }
    }
    function* requests(): Generator<Message[]> {
      const stream = createRelayStream(createPartitioning(partitions), 0n)
      for (let first = 0; first < stored.length; first += perRequest)
        yield stored.slice(first, first + perRequest).map((event) => stream.event(event))
    }
    return {
      run: async (count) => {
        const measured = await produce(requests())
        const prepared = await produce([...requests()])
        const rate = Math.round(count / prepared.seconds).toLocaleString('en')
        return { done: count, ...measured, note: `raw, messages made beforehand: ${rate} messages/s` }
      },
      close: async () => {
        await producer.disconnect()
        await side.close()
      },
    }
  },
}

export const kafkaRelay: Row = {
  name: 'kafka-relay',
  unit: 'messages/s',
  compares:
    `a log of ${events.toLocaleString('en')} events carried to a topic of ${partitions} partitions on the Kafka of ` +
    'KAFKA_BROKERS: ours: the relay (reads the log, puts it into messages, sends, marks, checkpoint), from its first ' +
    `request on; raw: kafkajs, the same events from memory put into the same messages, ${perRequest} a request, ` +
    'idempotent, acks of all, one request after the other. Goal: 70 % of raw.',
  skipped: withoutKafka,
  ours,
  raw,
}
