import { expect, test } from 'vitest'
import { newEvent } from '../test/support/new-event.ts'
import { decodeMessage, encodeEventMessage, encodeMark, readPlace } from './kafka-message.ts'

test('an event comes back as it was, and its place can be read without the rest', () => {
  const stored = {
    ...newEvent({ text: 'ü "position":"1"', nested: [1, null] }),
    stream: 'order-1',
    revision: 7n,
    position: 9_007_199_254_740_993n,
    recordedAt: '2026-11-21T06:00:00.000Z',
  }
  const value = Buffer.from(encodeEventMessage(stored, 41n))
  expect(readPlace(value)).toEqual({ position: 9_007_199_254_740_993n, after: 41n, isEvent: true })
  expect(decodeMessage(value)).toEqual(stored)
})

test('JSON that the store has at hand makes the same message', () => {
  const json = { data: '{"text":"ü \\n","nested":[1,null]}', metadata: JSON.stringify(newEvent({}).metadata) }
  const stored = {
    ...{ ...newEvent(JSON.parse(json.data)), metadata: JSON.parse(json.metadata) },
    ...{ stream: 'order-1', revision: 0n, position: 2n, recordedAt: '2026-11-21T06:00:00.000Z' },
  }
  expect(encodeEventMessage(stored, 1n, json)).toBe(encodeEventMessage(stored, 1n))
})

test('a mark is a place without an event', () => {
  const value = Buffer.from(encodeMark({ position: 42n, after: 0n }))
  expect(readPlace(value)).toEqual({ position: 42n, after: 0n, isEvent: false })
})

test('what the relay did not write is refused', () => {
  for (const value of [null, Buffer.from(''), Buffer.from('{}'), Buffer.from('{"position":"1"}')])
    expect(() => readPlace(value)).toThrow()
})
