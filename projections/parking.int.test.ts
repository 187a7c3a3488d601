import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Transaction } from '../platform/database.ts'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import { inventoryStream } from '../schemas/streams.ts'
import { eventually } from '../test/support/eventually.ts'
import { append, openProjectionRig, type ProjectionRig } from '../test/support/projection-rig.ts'
import { drainStream } from './parked-drain.ts'
import { drainParked, loadParkedStreams, ParkedStreamsChanged, parkBehind, parkFailed } from './parking.ts'
import type { ProjectionSink } from './projection.ts'

let rig: ProjectionRig
beforeAll(async () => {
  rig = await openProjectionRig()
})
afterAll(() => rig?.close())

const name = 'elsewhere'
const partition = 0

/** A stream whose first event is parked, and whose second one comes now. */
const givenParked = async (sku: string) => {
  const received = {
    type: 'StockReceived',
    data: { sku, quantity: 1, receivedAt: '2026-03-01T09:00:00.000Z' },
  } as const
  await append(rig.store, received, received)
  const stream = inventoryStream(sku)
  const [first, second] = (await rig.store.readStream(stream)).events as [StoredEvent, StoredEvent]
  const failure = { error: new Error('poison'), attempts: 1 }
  await rig.database.transaction((transaction) => parkFailed(transaction, name, partition, first, failure))
  return { stream, first, second }
}

/** A transaction that has done something and is kept from its commit. */
const holding = async (work: (transaction: Transaction) => Promise<void>) => {
  let commit = (): void => undefined
  const held = new Promise<void>((resolve) => {
    commit = resolve
  })
  let ended: Promise<void> = Promise.resolve()
  await new Promise<void>((resolve, reject) => {
    ended = rig.database.transaction(async (transaction) => {
      await work(transaction)
      resolve()
      await held
    })
    ended.catch(reject)
  })
  return () => {
    commit()
    return ended
  }
}

/** Until the work waits for a lock, or has ended without one. */
const stuck = (work: Promise<unknown>): Promise<unknown> =>
  Promise.race([
    work.catch(() => undefined),
    eventually(
      () => rig.rows("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"),
      (waiting) => waiting.length > 0,
    ),
  ])

test('a retry in an engine elsewhere leaves no event behind that was parked as the stream was emptied', async () => {
  const { stream, second } = await givenParked('lamp')
  const commit = await holding((transaction) => parkBehind(transaction, name, partition, [second]))
  const late: RecordedEvent[] = []
  const sink = {
    applyLate: async ({ events, record }: Parameters<ProjectionSink['applyLate']>[0]) => {
      late.push(...events)
      await rig.database.transaction(async (transaction) => record?.(transaction))
    },
  } as ProjectionSink
  const draining = drainStream({ database: rig.database, sink, name, stream, partition })
  await stuck(draining)
  await commit()
  expect(await draining).toBe(2)
  expect(late.map(({ revision }) => revision)).toEqual([0n, 1n])
  expect(await loadParkedStreams(rig.database, name)).toEqual(new Map())
})

test('an event is not parked behind what a retry that is not yet committed takes out', async () => {
  const { stream, first, second } = await givenParked('chair')
  const parked = [{ revision: first.revision, edit: 0 }]
  const commit = await holding((transaction) => drainParked(transaction, name, stream, parked))
  const parking = rig.database.transaction((transaction) => parkBehind(transaction, name, partition, [second]))
  const refused = expect(parking).rejects.toThrow(ParkedStreamsChanged)
  await stuck(parking)
  await commit()
  await refused
  expect(await loadParkedStreams(rig.database, name)).toEqual(new Map())
})
