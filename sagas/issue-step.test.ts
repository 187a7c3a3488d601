import { expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import { silentLogger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { given, orderId } from '../test/support/given-fulfilment.ts'
import { createMemoryEventStore } from '../test/support/memory-event-store.ts'
import { createIssueStep } from './issue-step.ts'

const issue = (handle: () => Promise<{ events: readonly DomainEvent[] }>, stepTimeoutMs = 5_000) =>
  createIssueStep({
    ...{ commands: { handle }, store: createMemoryEventStore(), clock: systemClock },
    ...{ logger: silentLogger, metrics: createMetrics(), stepTimeoutMs },
  })
const context = { correlationId: orderId, causationId: orderId }
const declined: DomainEvent = {
  type: 'PaymentDeclined',
  data: {
    orderId,
    customerId: 'customer-1',
    reason: 'card_declined',
    gatewayKey: 'key',
    declinedAt: '2026-11-21T09:30:00.000Z',
  },
} as DomainEvent
const { state } = given('a')

test('a decline refuses the authorisation; a void that comes upon it is done', async () => {
  const door = issue(async () => ({ events: [declined] }))
  expect(await door(state, 'authorise', context)).toEqual({ outcome: 'refused', reason: 'card_declined' })
  expect(await door(state, 'void', context)).toEqual({ outcome: 'done' })
})

test('the provider being away is a failure that does not count, a store being away is none of the order', async () => {
  const away = (engine: string) =>
    issue(() => Promise.reject(new EngineUnavailable(engine, new Error('gone'))))(state, 'authorise', context)
  expect(await away('payment gateway')).toMatchObject({ outcome: 'failed', unavailable: true })
  await expect(away('PostgreSQL')).rejects.toThrow(EngineUnavailable)
})

test('a command that never answers fails without being counted as unavailable', async () => {
  const door = issue(() => new Promise(() => undefined), 1)
  expect(await door(state, 'authorise', context)).toEqual({ outcome: 'failed', error: 'no answer within 1 ms' })
})
