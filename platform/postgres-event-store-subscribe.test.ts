import { expect, test } from 'vitest'
import { createMemoryEventStore } from '../test/support/memory-event-store.ts'
import { newEvents } from '../test/support/new-event.ts'
import { EngineUnavailable, LogWentBack } from './failures.ts'
import { silentLogger } from './logging.ts'
import { subscribeToLog } from './postgres-event-store-subscribe.ts'

const hints = { head: () => 0n, announce: () => undefined, beyond: async () => undefined, close: async () => undefined }
const { signal } = new AbortController()
const logOf = async (stream: string, events: number) => {
  const log = createMemoryEventStore()
  await log.append(stream, newEvents(events), 'none')
  return log
}
const subscriptionTo = (store: Parameters<typeof subscribeToLog>[0]['store'], pollMs: number) =>
  subscribeToLog({ store, hints, logger: silentLogger, pollMs }, { after: 0n, signal })

test('a subscription goes on after a failure, when the log holds what was read of it', async () => {
  const log = await logOf('one', 3)
  let away = false
  const readAll: typeof log.readAll = async (options) => {
    if (!away) return log.readAll(options)
    away = false
    throw new EngineUnavailable('PostgreSQL', new Error('gone'))
  }
  const subscription = subscriptionTo({ ...log, readAll }, 3_600_000)
  await subscription.next()
  away = true
  await log.append('two', newEvents(1), 'none')
  expect((await subscription.next()).value).toMatchObject({ position: 4n, events: [{ stream: 'two' }] })
})

test('after a failure a subscription hands out nothing of a log that is another one', async () => {
  const [before, after] = [await logOf('one', 3), await logOf('one', 9)]
  let now = before
  const subscription = subscriptionTo(
    {
      head: () => now.head(),
      readStream: (...words) => now.readStream(...words),
      readAll: async (options) => {
        if (now === after || options.after === 0n) return now.readAll(options)
        now = after
        throw new EngineUnavailable('PostgreSQL', new Error('gone'))
      },
    },
    3_600_000,
  )
  expect((await subscription.next()).value).toMatchObject({ position: 3n })
  await expect(subscription.next()).rejects.toThrow(LogWentBack)
})

test('a subscription to which nothing comes notices that the log ends before it', async () => {
  const [before, after] = [await logOf('one', 3), await logOf('one', 2)]
  let now = before
  const subscription = subscriptionTo(
    {
      head: () => now.head(),
      readStream: (...words) => now.readStream(...words),
      readAll: (options) => now.readAll(options),
    },
    0,
  )
  await subscription.next()
  now = after
  await expect(subscription.next()).rejects.toThrow(LogWentBack)
})
