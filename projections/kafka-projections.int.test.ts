import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openLeases } from '../platform/leases.ts'
import { createLogEventFeed } from '../platform/log-event-feed.ts'
import { partitionLogFeed } from '../platform/log-event-feed-partitions.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { createPartitioning } from '../platform/partitioning.ts'
import { createPersonalDataVault } from '../platform/personal-data.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { eventually } from '../test/support/eventually.ts'
import { type KafkaRig, kafkaSuite, openKafkaRig, withoutKafka } from '../test/support/kafka.ts'
import { ada, orderLife } from '../test/support/order-events.ts'
import { append } from '../test/support/projection-rig.ts'
import { orderDetails } from './order-details.ts'
import { orderTimeline } from './order-timeline.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import type { Projection } from './projection.ts'
import { rebuildFromZero } from './rebuild-from-zero.ts'
import { sales } from './sales.ts'

const partitions = 6

describe.skipIf(withoutKafka)(kafkaSuite('projections over Kafka'), () => {
  let rig: KafkaRig
  let all: readonly Projection[]
  beforeEach(async () => {
    rig = await openKafkaRig({ partitions })
    const vault = createPersonalDataVault(rig.database)
    all = [
      createPostgresProjection(rig.database, orderDetails(vault)),
      createPostgresProjection(rig.database, orderTimeline),
      createPostgresProjection(rig.database, sales),
    ]
  })
  afterEach(() => rig.close())

  let placed = 0
  const live = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) {
      const life = orderLife({})
      await append(rig.store, life.placed, life.confirmed)
      await append(rig.store, life.shipped, life.delivered)
      placed += 1
    }
  }
  beforeEach(() => {
    placed = 0
  })

  /** Sales would count an event twice, the timeline would refuse it, the order list would miss it. */
  const expectOnce = async (): Promise<void> => {
    await rig.caughtUp(all)
    const [found] = await rig.database.query(
      `select (select sum(orders)::integer from sales.days) as sold,
         (select count(*)::integer from order_timeline.entries) as entries,
         (select count(*)::integer from order_details.orders where status = 'delivered') as delivered,
         (select count(*)::integer from platform.parked_events) as parked`,
    )
    expect(found).toEqual({ sold: placed, entries: 4 * placed, delivered: placed, parked: 0 })
  }

  test('two workers share the partitions, and what was idle comes to the end of the log too', async () => {
    rig.startRelay()
    const workers = [await rig.openMember(), await rig.openMember()].map((member) => rig.startProjectors(member, all))
    await live(25)
    await expectOnce()
    await eventually(
      async () => workers.map((worker) => worker.status().map(({ state }) => state)),
      (states) => states.flat().every((state) => state === 'live'),
    )
    // One event in one partition: the others hear of it.
    const life = orderLife({})
    await append(rig.store, life.placed)
    await rig.caughtUp(all)
  })

  test('a storm of joins and leaves while events flow: everything once', async () => {
    rig.startRelay()
    rig.startProjectors(await rig.openMember(), all)
    let over = false
    const storm = (async () => {
      for (let round = 0; round < 10; round += 1) {
        const member = await rig.openMember()
        const worker = rig.startProjectors(member, all)
        await eventually(
          async () => worker.status(),
          (status) => status.some(({ state }) => state === 'live' || state === 'catching-up'),
          { what: 'the newcomer being given a partition' },
        )
        await worker.stop()
        await member.close()
      }
      over = true
    })()
    while (!over) {
      await live(5)
      await Promise.race([storm, new Promise((resolve) => setImmediate(resolve))])
    }
    await storm
    await expectOnce()
  }, 120_000)

  test('duplicate and late messages change nothing', async () => {
    rig.startRelay()
    rig.startProjectors(await rig.openMember(), all)
    await live(10)
    await expectOnce()
    const producer = rig.kafka.producer()
    await producer.connect()
    for (const [partition, messages] of await rig.messages())
      for (const { key, value } of messages.toReversed())
        await producer.send({ topic: rig.topic, messages: [{ key, value, partition }] })
    await producer.disconnect()
    await live(10)
    await expectOnce()
  })

  test('a consumer that fell off the retention reads the store and goes on with Kafka', async () => {
    const relay = rig.startRelay()
    const member = await rig.openMember()
    const first = rig.startProjectors(member, all)
    await live(5)
    await expectOnce()
    await first.stop()
    await live(20)
    const head = await rig.store.head()
    await eventually(
      async () => relay.status().position,
      (position) => position >= head,
    )
    await rig.administer(async (admin) => {
      const ends = await admin.fetchTopicOffsets(rig.topic)
      await admin.deleteTopicRecords({
        topic: rig.topic,
        partitions: ends.map(({ partition, high }) => ({ partition, offset: high })),
      })
    })
    await live(5)
    rig.startProjectors(member, all)
    await expectOnce()
    const gaps = (await member.metrics.feedGaps.get()).values
    expect(gaps.length).toBeGreaterThan(0)
    await live(5)
    await expectOnce()
    expect((await member.metrics.feedGaps.get()).values).toEqual(gaps)
  })

  test('a topic that is deleted and made again under running consumers loses and doubles nothing', async () => {
    rig.startRelay()
    rig.startProjectors(await rig.openMember(), all)
    await live(10)
    await expectOnce()
    await rig.deleteTopic()
    await live(10)
    await expectOnce()
  })

  test('a read model that is begun anew is built from the topic again, whatever offset was noted', async () => {
    rig.startRelay()
    const member = await rig.openMember()
    const first = rig.startProjectors(member, all)
    await live(30)
    await expectOnce()
    await first.stop()
    for (const projection of all) await rebuildFromZero(rig.store, projection)
    rig.startProjectors(member, all)
    await expectOnce()
  })

  test('consumers go over from the whole log to Kafka and back, with a late worker of before', async () => {
    const leases = openLeases({ database: rig.database, logger, retryMs: 20 })
    const log = createLogEventFeed({ store: rig.store, leases, decode: decodeEvent, logger })
    const before = rig.startProjectors({ feed: log }, all)
    await live(10)
    const end = await rig.store.head()
    await eventually(
      async () => before.status().map(({ position }) => position),
      (positions) => positions.every((position) => position >= end),
    )
    rig.startRelay()
    const over = rig.startProjectors(await rig.openMember(), all)
    await live(10)
    const states = async () => {
      await live(1)
      return before.status().map(({ state }) => state)
    }
    await eventually(states, (each) => each.every((state) => state === 'stopped'), {
      what: 'late workers being fenced',
    })
    await expectOnce()
    await over.stop()
    const back = rig.startProjectors({ feed: partitionLogFeed(log, createPartitioning(partitions)) }, all)
    await live(10)
    await expectOnce()
    await back.stop()
    rig.startProjectors(await rig.openMember(), all)
    await live(5)
    await expectOnce()
    log.close()
    await leases.close()
  })

  test('no person reappears, though customer and orders are in partitions of different workers', async () => {
    const vault = createPersonalDataVault(rig.database)
    rig.startRelay()
    for (const member of [await rig.openMember(), await rig.openMember()]) rig.startProjectors(member, all)
    const forget = async (customerId: string): Promise<void> => {
      const lives = []
      for (let index = 0; index < 6; index += 1)
        lives.push(orderLife({ orderId: randomUUID(), customerId, personal: await vault.seal(customerId, ada) }))
      const keyIds = await vault.keysOf(customerId)
      const forgotten = { customerId, keyIds, forgottenAt: '2026-03-02T00:00:00.000Z' }
      await Promise.all([
        ...lives.map(async (life) => {
          await append(rig.store, life.placed)
          await append(rig.store, life.confirmed)
          await append(rig.store, life.shipped)
        }),
        append(rig.store, { type: 'PersonalDataForgotten', data: forgotten }),
      ])
    }
    for (let round = 0; round < 15; round += 1) await forget(`customer-${randomUUID()}`)
    await rig.caughtUp(all)
    const known = await rig.database.query('select order_id from order_details.orders where name is not null')
    expect(known).toEqual([])
    const [{ orders } = {}] = await rig.database.query<{ orders: number }>(
      'select count(*)::integer as orders from order_details.orders',
    )
    expect(orders).toBe(90)
  })
})
