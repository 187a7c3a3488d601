import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../test/support/eventually.ts'
import { type KafkaRig, kafkaSuite, openKafkaRig, withoutKafka } from '../test/support/kafka.ts'
import { newEvent, newEvents } from '../test/support/new-event.ts'
import { fixFeedPartitions } from './feed-partitions.ts'
import { decodeMessage, encodeEventMessage, readPlace } from './kafka-message.ts'
import { takeOver } from './kafka-relay-state.ts'
import { ensureTopic } from './kafka-topic.ts'
import { createPartitioning } from './partitioning.ts'

describe.skipIf(withoutKafka)(kafkaSuite('the relay to Kafka'), () => {
  let rig: KafkaRig
  beforeEach(async () => {
    rig = await openKafkaRig()
  })
  afterEach(() => rig.close())

  const write = async (count: number): Promise<bigint> => {
    for (let index = 0; index < count; index += 1) await rig.store.append(`order-${index % 7}`, newEvents(2), 'any')
    return rig.store.head()
  }
  const published = (relay: { status(): { position: bigint } }, position: bigint) =>
    eventually(
      async () => relay.status(),
      (status) => status.position >= position,
      { what: `the relay coming to ${position}` },
    )

  /** Checks the topic: each partition's messages in order, linked without a gap, up to the position. */
  const expectWhole = async (position: bigint, start = 0n) => {
    const { of } = createPartitioning(rig.partitions)
    const seen: bigint[] = []
    for (const [partition, messages] of await rig.messages()) {
      let last = start
      for (const { key, value } of messages) {
        const place = readPlace(value)
        expect(place.after).toBe(last)
        expect(place.position).toBeGreaterThan(last)
        last = place.position
        if (!place.isEvent || !value) continue
        const stored = decodeMessage(value)
        expect(of(stored.stream)).toBe(partition + 1)
        expect(key?.toString()).toBe(stored.stream.slice('order-'.length))
        seen.push(stored.position)
      }
      expect(last).toBe(position)
    }
    seen.sort((a, b) => Number(a - b))
    expect(seen).toEqual(Array.from({ length: Number(position - start) }, (_, index) => start + BigInt(index + 1)))
  }

  test('carries past and present in order, and every partition hears how far the log has come', async () => {
    await write(30)
    const relay = rig.startRelay()
    const end = await write(30)
    await published(relay, end)
    await expectWhole(end)
  })

  test('a large event travels too, and many large ones go in several requests', async () => {
    const text = 'ü'.repeat(250_000)
    for (let index = 0; index < 8; index += 1) await rig.store.append('order-1', [newEvent({ text })], 'any')
    const relay = rig.startRelay()
    await published(relay, 8n)
    await expectWhole(8n)
  })

  test('two relays publish nothing twice, and one goes on where the other ended', async () => {
    const relays = [rig.startRelay(), rig.startRelay()]
    const half = await write(40)
    await eventually(
      async () => relays.map((relay) => relay.status()),
      (all) => all.some(({ position }) => position >= half),
    )
    const active = relays.find((relay) => relay.status().state === 'publishing')
    const writing = write(40)
    await active?.stop()
    const end = await writing
    const heir = relays.find((relay) => relay !== active)
    expect(heir).toBeDefined()
    if (heir) await published(heir, end)
    const positions: bigint[] = []
    for (const messages of (await rig.messages()).values())
      for (const { value } of messages) if (readPlace(value).isEvent) positions.push(readPlace(value).position)
    expect(new Set(positions).size).toBe(positions.length)
    await expectWhole(end)
  })

  test('a relay that was taken over stops with its next checkpoint, and takes over again in its turn', async () => {
    const relay = rig.startRelay()
    await published(relay, await write(3))
    await takeOver(rig.database, rig.topic, randomUUID())
    await write(3)
    await eventually(
      async () => {
        await write(1)
        return relay.status()
      },
      ({ error }) => error === 'another relay has taken over',
    )
    await published(relay, await write(3))
  })

  test('a topic that was deleted is made again and filled with what consumers need', async () => {
    const relay = rig.startRelay()
    const before = await write(20)
    await published(relay, before)
    await rig.database.query(
      `insert into platform.checkpoints (consumer, partition, position, log_identity)
       select 'somebody', n, 10 + n, $1::uuid from generate_series(1, 3) n`,
      [await rig.store.identity()],
    )
    await rig.deleteTopic()
    const end = await write(5)
    await published(relay, end)
    await expectWhole(end, 11n)
    expect((await relay.metrics.relayTopicLosses.get()).values[0]?.value).toBe(1)
  })

  test('a log that is older than what was published of it is recognised', async () => {
    const relay = rig.startRelay()
    const end = await write(5)
    await published(relay, end)
    await relay.stop()
    await rig.database.query('update platform.relays set position = $1', [end + 5n])
    const again = rig.startRelay()
    const status = await eventually(
      async () => again.status(),
      ({ state }) => state === 'waiting',
    )
    expect(status.error).toContain('an older log was put back')
    await rig.database.query(
      `update platform.relays set position = $1, last_event = jsonb_set(last_event, '{id}', to_jsonb($2::text))`,
      [end, randomUUID()],
    )
    await eventually(
      async () => again.status(),
      ({ error }) => error?.includes('another event') === true,
    )
  })

  test('what a relay could not note any more is taken for its own only if the log has it', async () => {
    const relay = rig.startRelay()
    const end = await write(5)
    await published(relay, end)
    await relay.stop()
    const producer = rig.kafka.producer()
    await producer.connect()
    const [partition, own] = [...(await rig.messages())].find(([, messages]) => messages.length > 0) ?? [0, []]
    const repeated = own.findLast(({ value }) => readPlace(value).isEvent) ?? own[0]
    await producer.send({ topic: rig.topic, messages: [{ value: repeated?.value ?? '', partition }] })
    const again = rig.startRelay()
    await published(again, await write(1))
    await again.stop()
    const stored = { ...newEvent(), stream: 'order-1', revision: 0n, position: end, recordedAt: '2026-11-21T00:00:00Z' }
    await producer.send({ topic: rig.topic, messages: [{ value: encodeEventMessage(stored, 0n), partition: 1 }] })
    await producer.disconnect()
    const refusing = rig.startRelay()
    const status = await eventually(
      async () => refusing.status(),
      ({ state }) => state === 'waiting',
    )
    expect(status.error).toContain(`position ${end} is another event`)
    await rig.deleteTopic()
    await published(refusing, await write(1))
  })

  test('another number of partitions is refused in one sentence', async () => {
    const options = { partitions: 3, replicationFactor: 1, retentionMs: 60_000 }
    await rig.administer((admin) => ensureTopic(admin, rig.topic, options))
    await expect(
      rig.administer((admin) => ensureTopic(admin, rig.topic, { ...options, partitions: 4 })),
    ).rejects.toThrow(`KAFKA_PARTITIONS is 4, but the topic ${rig.topic} has 3 partitions`)
    await fixFeedPartitions(rig.database, 3)
    await expect(fixFeedPartitions(rig.database, 6)).rejects.toThrow('KAFKA_PARTITIONS is 6, but the consumers')
  })
})
