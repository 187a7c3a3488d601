import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { eventually } from '../test/support/eventually.ts'
import { createMemoryEventStore } from '../test/support/memory-event-store.ts'
import { createMemoryCheckpoints, createMemorySagaTables } from '../test/support/memory-saga-tables.ts'
import { systemClock as clock } from './clock.ts'
import { composeSaga } from './compose-saga.ts'
import type { Database } from './database.ts'
import type { ConsumeOptions, EventFeed } from './event-feed.ts'
import { LogWentBack } from './failures.ts'
import type { Health } from './health.ts'
import { silentLogger as logger } from './logging.ts'
import { createMetrics } from './metrics.ts'

/** A saga whose feed breaks off with these, one after the other, and then goes on. */
const sagaWith = (...failures: Error[]) => {
  let consumed = 0
  const feed = {
    async *consume(_group: string, { signal }: ConsumeOptions) {
      consumed += 1
      const failure = failures.shift()
      if (failure) throw failure
      while (!signal.aborted) await sleep(5)
      yield* []
    },
  } as unknown as EventFeed
  const saga = composeSaga({
    ...{ feed, clock, logger, metrics: createMetrics(), store: createMemoryEventStore() },
    commands: { handle: () => Promise.reject(new Error('no command is expected')) },
    database: {} as Database,
    tables: createMemorySagaTables(),
    checkpoints: createMemoryCheckpoints(),
    guard: { ahead: async () => undefined, examine: async () => [], run: async () => undefined },
  })
  return { saga, consumed: () => consumed }
}

test('a saga that broke off with what nobody was prepared for says so, and goes on', async () => {
  const { saga, consumed } = sagaWith(new Error('a mistake'), new Error('another'))
  const stopping = new AbortController()
  const seen: Health[] = []
  const running = saga.run(stopping.signal)
  await eventually(
    async () => {
      seen.push(await saga.health())
      return consumed()
    },
    (times) => times === 3,
    { everyMs: 1 },
  )
  expect(await saga.health()).toEqual({ ok: true })
  expect(seen).toContainEqual({ ok: false, detail: 'a mistake' })
  stopping.abort()
  await running
})

test('a saga that the log was put back under ends', async () => {
  const { saga, consumed } = sagaWith(new LogWentBack(7n))
  await saga.run(new AbortController().signal)
  expect(consumed()).toBe(1)
  expect(await saga.health()).toMatchObject({ ok: false, detail: expect.stringContaining('put back') })
})
