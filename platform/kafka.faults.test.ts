import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { orderTimeline } from '../projections/order-timeline.ts'
import { createPostgresProjection } from '../projections/postgres-sink.ts'
import type { Projection } from '../projections/projection.ts'
import { sales } from '../projections/sales.ts'
import { eventually } from '../test/support/eventually.ts'
import { type KafkaRig, kafkaSuite, openKafkaRig, withoutKafka } from '../test/support/kafka.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append } from '../test/support/projection-rig.ts'
import { mayBreakServers, server } from '../test/support/servers.ts'

const runs = mayBreakServers && !withoutKafka
const name = mayBreakServers ? kafkaSuite('Kafka under faults') : 'Kafka (skipped: ORDERLOG_TEST_SERVERS is unset)'

describe.skipIf(!runs)(name, () => {
  let rig: KafkaRig
  let all: readonly Projection[]
  let relay: ReturnType<KafkaRig['startRelay']>
  let orders = 0
  beforeAll(async () => {
    rig = await openKafkaRig()
    all = [createPostgresProjection(rig.database, orderTimeline), createPostgresProjection(rig.database, sales)]
    relay = rig.startRelay()
    for (const member of [await rig.openMember(), await rig.openMember()]) rig.startProjectors(member, all)
  })
  afterAll(() => rig?.close())

  const live = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) {
      const life = orderLife({})
      await append(rig.store, life.placed, life.confirmed)
      orders += 1
    }
  }
  const expectOnce = async (): Promise<void> => {
    await rig.caughtUp(all, 120_000)
    const [found] = await rig.database.query(
      `select (select sum(orders)::integer from sales.days) as sold,
         (select count(*)::integer from order_timeline.entries) as entries`,
    )
    expect(found).toEqual({ sold: orders, entries: 2 * orders })
  }

  test('killed: the log grows, the relay says that it waits, and everything catches up by itself', async () => {
    await live(20)
    await expectOnce()
    await server('kill', 'kafka')
    try {
      await live(20)
      await eventually(
        async () => relay.status().state,
        (state) => state === 'waiting',
        { withinMs: 60_000 },
      )
    } finally {
      await server('up', 'kafka')
    }
    await live(5)
    await expectOnce()
  })

  test('hanging with its connections open: nothing waits for ever', async () => {
    await live(20)
    await expectOnce()
    await server('pause', 'kafka')
    try {
      await live(20)
      await eventually(
        async () => relay.status().state,
        (state) => state === 'waiting',
        { withinMs: 120_000 },
      )
      await sleep(5_000)
    } finally {
      await server('resume', 'kafka')
    }
    await live(5)
    await expectOnce()
  })

  test('hanging for less than a session while a batch is worked off: the consumer goes on', async () => {
    const member = await rig.openMember()
    const ended = new AbortController()
    const reached = new Map<number, bigint>()
    const total = () => [...reached.values()].reduce((least, position) => (position < least ? position : least))
    let hold: Promise<unknown> = Promise.resolve()
    let held = (): void => undefined
    const consuming = (async () => {
      const options = { checkpoint: async (partition: number) => reached.get(partition) ?? 0n, signal: ended.signal }
      for await (const { partition, position } of member.feed.consume('holds', options)) {
        held()
        await hold
        reached.set(partition, position)
      }
    })()
    const caughtUp = async (): Promise<void> => {
      const head = await rig.store.head()
      await eventually(
        async () => (reached.size === rig.partitions ? total() : 0n),
        (position) => position >= head,
        { what: 'the held consumer' },
      )
    }
    await live(5)
    await caughtUp()
    const isHeld = new Promise<void>((resolve) => {
      held = resolve
    })
    // Longer than a request may take (5 s), shorter than the broker forgets a member (10 s): it stays the same member.
    hold = isHeld.then(() => sleep(8_000))
    await live(5)
    await isHeld
    await server('pause', 'kafka')
    await sleep(7_000)
    await server('resume', 'kafka')
    await live(5)
    await caughtUp().finally(() => ended.abort())
    await consuming
    await expectOnce()
  })
})
