import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startEventStoreDbServer } from '../test/support/eventstoredb-server.ts'
import { eventually } from '../test/support/eventually.ts'
import { type KafkaRig, kafkaSuite, openKafkaRig, withoutKafka } from '../test/support/kafka.ts'
import { newEvent, newEvents } from '../test/support/new-event.ts'
import { putBack } from '../test/support/put-back.ts'
import { openEventStoreDbEventStore } from './eventstoredb-event-store.ts'
import { silentLogger as logger } from './logging.ts'

/** A log with a relay, that can be put back. */
interface Log {
  readonly rig: KafkaRig
  /** Resolves with what puts the log, and nothing else, back to where it stands now. */
  remember(): Promise<() => Promise<void>>
  /** How many events the server has read for others, where it can say so. */
  readonly eventsRead?: () => number
  close(): Promise<void>
}

const onPostgres = async (): Promise<Log> => {
  const rig = await openKafkaRig()
  const remember = async () => {
    const head = await rig.store.head()
    return () => putBack(rig.database, head)
  }
  return { rig, remember, close: rig.close }
}

const onEventStoreDb = async (): Promise<Log> => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-esdb-'))
  const file = join(directory, 'log.ndjson')
  const server = await startEventStoreDbServer({ file })
  const rig = await openKafkaRig({ openStore: () => openEventStoreDbEventStore({ url: server.url, logger }) })
  return {
    rig,
    remember: async () => {
      await copyFile(file, `${file}.copy`)
      return async () => {
        await server.kill()
        await copyFile(`${file}.copy`, file)
        await server.start()
        await eventually(rig.store.head, () => true, { what: 'an answer of the server' })
      }
    },
    eventsRead: server.eventsRead,
    close: async () => {
      await rig.close()
      await server.kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

describe.skipIf(withoutKafka).each([
  ['PostgreSQL', onPostgres],
  ['EventStoreDB', onEventStoreDb],
] as const)(kafkaSuite('a relay that goes on, with the log in %s,'), (_, open) => {
  let log: Log
  beforeEach(async () => {
    log = await open()
  })
  afterEach(() => log.close())

  const write = async (count: number): Promise<bigint> => {
    for (let index = 0; index < count; index += 50)
      await log.rig.store.append(`order-${index % 7}`, newEvents(Math.min(50, count - index)), 'any')
    return log.rig.store.head()
  }
  const published = (relay: ReturnType<KafkaRig['startRelay']>, position: bigint) =>
    eventually(
      async () => relay.status(),
      (status) => status.position >= position,
      { what: `the relay coming to ${position}` },
    )
  const refuses = async (relay: ReturnType<KafkaRig['startRelay']>, reason: string) => {
    const { error } = await eventually(
      async () => relay.status(),
      ({ state }) => state === 'waiting',
      { what: 'a relay that refuses' },
    )
    expect(error).toContain(reason)
    expect(error).toContain('an older log was put back')
  }

  /** Starts a relay again on a log of so many events; tells what it had read of it until it goes on. */
  const readToGoOn = async () => {
    const { store, startRelay } = log.rig
    let pages = 0
    const readAll: typeof store.readAll = (options) => {
      pages += 1
      return store.readAll(options)
    }
    const before = log.eventsRead?.() ?? 0
    const relay = startRelay({ store: { ...store, readAll } })
    await published(relay, await write(1))
    return { pages, events: (log.eventsRead?.() ?? 0) - before }
  }
  const many = 2_000

  test('does not read what it has carried already', async () => {
    const relay = log.rig.startRelay()
    await published(relay, await write(many))
    await relay.stop()
    const read = await readToGoOn()
    expect(read.pages).toBe(0)
    expect(read.events).toBeLessThan(many / 2)
  })

  test('does not read it either when the last of it was not noted any more', async () => {
    const { database, startRelay } = log.rig
    const relay = startRelay()
    await published(relay, await write(many))
    const noted = async () => {
      const [row] = await database.query<{ position: bigint; text: string }>(
        'select position, row_to_json(r)::text as text from platform.relays r',
      )
      return row
    }
    const end = await log.rig.store.head()
    const old = await eventually(noted, (row) => row?.position === end, { what: 'a checkpoint of the relay' })
    await published(relay, await write(100))
    await relay.stop()
    await database.query(
      `update platform.relays r set position = old.position, ends = old.ends, last_event = old.last_event
       from json_populate_record(null::platform.relays, $1::json) old where r.topic = old.topic`,
      [old?.text],
    )
    const read = await readToGoOn()
    expect(read.pages).toBe(0)
    expect(read.events).toBeLessThan(many / 2)
  })

  test('goes on from what an older version has noted, and notes more', async () => {
    const { database, startRelay } = log.rig
    const first = startRelay()
    await published(first, await write(3))
    await first.stop()
    await database.query(`update platform.relays set event_id = (last_event->>'id')::uuid, last_event = null`)
    await published(startRelay(), await write(1))
    const end = await log.rig.store.head()
    await eventually(
      () =>
        database.query<{ id: string | null; position: string }>(
          `select event_id as id, last_event->>'position' as position from platform.relays`,
        ),
      ([row]) => row?.id === null && row.position === String(end),
      { what: 'the last event noted with its place' },
    )
  })

  test('knows a log that is shorter than what was published of it', async () => {
    const { startRelay } = log.rig
    await write(3)
    const back = await log.remember()
    const relay = startRelay()
    await published(relay, await write(5))
    await relay.stop()
    await back()
    await refuses(startRelay(), 'the log ends at')
  })

  test('knows a log that was put back and has grown since, even by the same event once more', async () => {
    const { startRelay, store } = log.rig
    await write(3)
    const back = await log.remember()
    const relay = startRelay()
    const last = newEvent()
    await store.append('order-last', [last], 'none')
    const end = await store.head()
    await published(relay, end)
    await relay.stop()
    await back()
    await write(2)
    await store.append('order-last', [last], 'none')
    expect(await store.head()).toBeGreaterThan(end)
    await refuses(startRelay(), `position ${end} is another event`)
  })
})
