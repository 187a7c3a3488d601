import { expect, test } from 'vitest'
import { EngineUnavailable } from '../platform/failures.ts'
import { createRelevance } from '../platform/relevance.ts'
import { UndecodableEvent } from '../schemas/decoding.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { ParkedStreamsChanged } from './parking.ts'
import { defaultErrorPolicy, judge } from './verdict.ts'

const policy = { ...defaultErrorPolicy, maxAttempts: 3, waitMs: () => 7 }
const alone = (attempts: number) => ({ events: 1, attempts, waits: 0 })
const many = { events: 40, attempts: 1, waits: 0 }

test('an engine that is away is waited for, however often and whatever the batch', () => {
  const away = new EngineUnavailable('PostgreSQL', new Error('refused'))
  expect(judge(away, { ...many, waits: 1_000 }, policy)).toMatchObject({ do: 'wait', afterMs: 7 })
  expect(judge(away, alone(50), policy)).toMatchObject({ do: 'wait' })
})

test('a batch that fails is halved; an event alone is tried again and then parked', () => {
  const fault = new TypeError('oops')
  expect(judge(fault, many, policy)).toEqual({ do: 'halve' })
  expect(judge(fault, alone(1), policy)).toMatchObject({ do: 'retry' })
  expect(judge(fault, alone(2), policy)).toMatchObject({ do: 'retry' })
  expect(judge(fault, alone(3), policy)).toEqual({ do: 'park', reason: 'oops' })
  expect(judge('not even an error', alone(3), policy)).toEqual({ do: 'park', reason: 'not even an error' })
})

test('a newer version is waited for, an unknown name is parked at once', () => {
  expect(judge(new UndecodableEvent('newer-event', 'order.placed.v9', '1'), alone(1), policy)).toMatchObject({
    do: 'wait',
  })
  expect(judge(new UndecodableEvent('newer-event', 'order.placed.v9', '1'), many, policy)).toEqual({ do: 'halve' })
  expect(judge(new UndecodableEvent('unknown-event', 'x.y.v1', '1'), alone(1), policy)).toMatchObject({ do: 'park' })
})

test('a failure without an event is nobody`s fault, and a changed parking is looked at again', () => {
  expect(judge(new Error('no such table'), { events: 0, attempts: 9, waits: 0 }, policy)).toMatchObject({ do: 'wait' })
  expect(judge(new ParkedStreamsChanged(), many, policy)).toEqual({ do: 'retry', afterMs: 0 })
})

test('an event concerns a projection by its name, its newer versions, and unknown ones of the aggregates it handles', () => {
  const concerns = createRelevance(namesOf('OrderPlaced', 'OrderConfirmed'))
  const named = (type: string, stream = 'order-1') => concerns({ type, stream } as StoredEvent)
  expect(named('order.placed.v1')).toBe(true)
  expect(named('order.placed.v2')).toBe(true)
  expect(named('order.placed.v3')).toBe(true)
  expect(named('order.shipped.v1')).toBe(false)
  expect(named('order.shipped.v2')).toBe(false)
  expect(named('order.gift-wrapped.v1')).toBe(true)
  expect(named('gift.wrapped.v1')).toBe(true)
  expect(named('gift.wrapped.v1', 'gift-1')).toBe(false)
  expect(named('payment.captured.v1', 'payment-1')).toBe(false)
})
