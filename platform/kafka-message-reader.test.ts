import { expect, test } from 'vitest'
import { decodeEvent } from '../schemas/decoding.ts'
import { newEvent } from '../test/support/new-event.ts'
import { LogWentBack } from './failures.ts'
import { encodeEventMessage } from './kafka-message.ts'
import { createMessageReader } from './kafka-message-reader.ts'
import { createLogWatch } from './log-watch.ts'
import { silentLogger as logger } from './logging.ts'

const openReader = () => {
  const store = { last: async () => undefined, readStream: async () => ({ revision: 'none', events: [] }) as const }
  const watch = createLogWatch({ store, logger })
  return { watch, reader: createMessageReader(decodeEvent, watch) }
}
const stored = (position: bigint, data: object = {}) => ({
  ...newEvent(data),
  ...{ stream: 'order-"id":"1"', revision: 0n, position, recordedAt: '2026-11-21T06:00:00.000Z' },
})
const message = (event: ReturnType<typeof stored>, after = 0n) => Buffer.from(encodeEventMessage(event, after))

test('an event that comes again is the one that was read, whatever comes before it now', () => {
  const { reader } = openReader()
  const event = stored(7n, { id: 'another' })
  const first = reader.event(7n, message(event))
  expect(first.stored).toEqual(event)
  expect(reader.event(7n, message(event, 5n))).toBe(first)
})

test('another event at a position that was read ends the feed for good: the log was put back', () => {
  const { reader, watch } = openReader()
  reader.event(7n, message(stored(7n)))
  expect(watch.demand).not.toThrow()
  expect(() => reader.event(7n, message(stored(7n)))).toThrow(LogWentBack)
  expect(watch.demand).toThrow(LogWentBack)
})

test('an event that the log does not hold ends the feed for good, also when it was read of the store', async () => {
  for (const read of ['event', 'fromStore'] as const) {
    const { reader, watch } = openReader()
    await watch.check()
    if (read === 'event') reader.event(7n, message(stored(7n)))
    else reader.fromStore(stored(7n))
    await expect(watch.check()).rejects.toThrow(LogWentBack)
    expect(watch.demand).toThrow(LogWentBack)
    await watch.run(new AbortController().signal)
  }
})
