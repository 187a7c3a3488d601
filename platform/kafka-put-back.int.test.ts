import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../test/support/eventually.ts'
import { type KafkaRig, kafkaSuite, openKafkaRig, withoutKafka } from '../test/support/kafka.ts'
import { newEvents } from '../test/support/new-event.ts'
import { putBack } from '../test/support/put-back.ts'
import type { EventFeed } from './event-feed.ts'
import { EngineUnavailable, LogWentBack, TopicHeldBack } from './failures.ts'
import { createKafka } from './kafka-client.ts'
import { createTopicGuard } from './kafka-put-back.ts'
import { silentLogger as logger } from './logging.ts'
import { createPutBackRecords, kafkaConsumer } from './put-back-records.ts'

describe.skipIf(withoutKafka)(kafkaSuite('a topic that holds the future of a log that was put back'), () => {
  let rig: KafkaRig
  beforeEach(async () => {
    rig = await openKafkaRig()
  })
  afterEach(() => rig.close())

  const write = async (count: number): Promise<bigint> => {
    for (let index = 0; index < count; index += 1) await rig.store.append(`order-${index % 7}`, newEvents(1), 'any')
    return rig.store.head()
  }
  const records = () => createPutBackRecords(rig.database)
  /** Another process. */
  const guard = () => createTopicGuard({ kafka: rig.kafka, store: rig.store, database: rig.database })
  const carried = async (): Promise<void> => {
    const relay = rig.startRelay()
    const head = await rig.store.head()
    await eventually(
      async () => relay.status(),
      ({ position }) => position >= head,
      { what: `the relay coming to ${head}` },
    )
    await relay.stop()
  }
  /** Everything in PostgreSQL: the log, and what the relay has noted. */
  const rememberAll = async () => {
    const position = await rig.store.head()
    const [row] = await rig.database.query<{ noted: string }>(
      'select row_to_json(r)::text as noted from platform.relays r',
    )
    return async () => {
      await putBack(rig.database, position)
      await rig.database.query('delete from platform.relays')
      await rig.database.query(
        'insert into platform.relays select * from json_populate_record(null::platform.relays, $1)',
        [row?.noted],
      )
    }
  }

  test('is kept from consumers, whether a relay runs or not and however far the log has grown', async () => {
    await write(20)
    await carried()
    await guard().check(rig.topic)
    const back = await rememberAll()
    await write(10)
    await carried()
    await back()
    await write(30)
    const held = guard()
    await expect(held.check(rig.topic)).rejects.toThrow(TopicHeldBack)
    await expect(held.check(rig.topic)).rejects.toThrow('an older log was put back')
    expect(await records().of(kafkaConsumer)).toContain('an older log was put back')
  })

  test('is kept from consumers too when the backup is from before there was a relay', async () => {
    const position = await write(20)
    await write(10)
    await carried()
    await putBack(rig.database, position)
    await rig.database.query('delete from platform.relays')
    await expect(guard().check(rig.topic)).rejects.toThrow(TopicHeldBack)
  })

  test('is not judged while no broker answers: that is waited for', async () => {
    const kafka = createKafka({ brokers: ['127.0.0.1:1'], tls: false }, { logger, clientId: 'test' })
    const { store, database, topic } = rig
    await expect(createTopicGuard({ kafka, store, database }).check(topic)).rejects.toThrow(EngineUnavailable)
  })

  test('is thrown away once an operator asks for it, and what consumers need is published anew', async () => {
    await write(20)
    await carried()
    const back = await rememberAll()
    await write(10)
    await carried()
    await back()
    const relay = rig.startRelay()
    const { error } = await eventually(
      async () => relay.status(),
      ({ state }) => state === 'waiting',
      { what: 'the relay finding it out' },
    )
    expect(error).toContain('an older log was put back')
    expect(await records().of(kafkaConsumer)).toBe(error)
    const head = await write(15)
    await records().mend(kafkaConsumer)
    await eventually(
      async () => relay.status(),
      ({ state, position }) => state === 'publishing' && position >= head,
      { what: 'the relay publishing' },
    )
    expect(await records().all()).toEqual([])
    await guard().check(rig.topic)
    const ids = [...(await rig.messages()).values()].flat().map(({ value }) => String(value))
    const log = (await rig.store.readAll({ after: 0n, limit: 1_000 })).events
    for (const { id } of log) expect(ids.some((message) => message.includes(id))).toBe(true)
  })

  /** A consumer without a checkpoint, from a position on. */
  const consumer = ({ feed }: { readonly feed: EventFeed }, group: string, after = 0n) => {
    const seen: string[] = []
    const stopping = new AbortController()
    const positions = new Map<number, bigint>()
    const consume = async () => {
      const checkpoint = async (partition: number) => positions.get(partition) ?? after
      for await (const batch of feed.consume(group, { checkpoint, signal: stopping.signal })) {
        seen.push(...batch.events.map(({ stored }) => stored.id))
        positions.set(batch.partition, batch.position)
      }
    }
    const ended = consume().then(
      () => 'stopped' as const,
      (error: unknown) => error,
    )
    const has = (count: number) =>
      eventually(
        async () => seen.length,
        (length) => length >= count,
        { what: `${group} having ${count} events` },
      )
    const stop = () => {
      stopping.abort()
      return ended
    }
    return { seen, ended, has, stop }
  }

  test('ends every consumer of a process that ran through it, also once the topic is filled anew', async () => {
    await write(20)
    await carried()
    const back = await rememberAll()
    const relay = rig.startRelay()
    const process = await rig.openMember()
    const consumers = [consumer(process, 'one'), consumer(process, 'another'), consumer(process, 'idle', 1_000n)]
    await write(10)
    for (const each of consumers.slice(0, 2)) await each.has(30)
    await relay.stop()
    await back()
    // As many as it has lost, in other streams, so that every position is given out again.
    for (let index = 0; index < 12; index += 1) await rig.store.append(`later-${index}`, newEvents(1), 'any')
    for (const each of consumers) expect(await each.ended).toBeInstanceOf(LogWentBack)

    const heir = rig.startRelay()
    await eventually(
      () => records().all(),
      (found) => found.length > 0,
      { what: 'the relay finding it out' },
    )
    await records().mend(kafkaConsumer)
    await eventually(
      async () => heir.status(),
      ({ position }) => position >= 32n,
      { what: 'the topic being filled anew' },
    )
    expect(await consumer(process, 'fresh').ended).toBeInstanceOf(LogWentBack)
    const next = consumer(await rig.openMember(), 'fresh')
    await next.has(32)
    expect(await next.stop()).toBe('stopped')
    const log = (await rig.store.readAll({ after: 0n, limit: 1_000 })).events.map(({ id }) => id)
    expect([...next.seen].sort()).toEqual(log.sort())
  })
})
