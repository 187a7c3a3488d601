import { expect, test } from 'vitest'
import { encodeEvent } from '../schemas/codec.ts'
import { CommandRejected, type ErrorCode } from '../schemas/errors.ts'
import type { FulfilmentStep } from '../schemas/fulfilment.ts'
import { given, policy } from '../test/support/given-fulfilment.ts'
import { record, resultOfRejection } from './step-results.ts'

const meaning = (step: FulfilmentStep, code: ErrorCode, details = {}) =>
  resultOfRejection(step, new CommandRejected(code, details)).outcome

test('no stock is a business answer, also for a SKU that never had any or that was released before', () => {
  expect(meaning('reserve:a', 'out-of-stock')).toBe('refused')
  expect(meaning('reserve:a', 'stock-not-found')).toBe('refused')
  expect(meaning('reserve:a', 'reservation-settled')).toBe('refused')
})

test('nothing to release and nothing to void are as good as done', () => {
  expect(meaning('release:a', 'reservation-not-found')).toBe('done')
  expect(meaning('void', 'payment-not-found')).toBe('done')
  expect(meaning('void', 'payment-settled')).toBe('done')
  expect(meaning('void', 'payment-already-captured')).toBe('captured-already')
})

test('unknown outcomes and refusals that may pass are tried again, others are not', () => {
  expect(meaning('authorise', 'payment-outcome-unknown')).toBe('failed')
  expect(meaning('capture', 'payment-capture-refused')).toBe('failed')
  expect(meaning('refund', 'refund-refused')).toBe('failed')
  expect(meaning('commit:a', 'concurrent-update')).toBe('failed')
  expect(meaning('capture', 'payment-not-authorised')).toBe('impossible')
  expect(meaning('commit:a', 'reservation-settled')).toBe('impossible')
  expect(meaning('cancel', 'order-not-cancellable')).toBe('impossible')
})

test('whatever an error says, its record fits the schema', () => {
  const { state } = given('a')
  const now = new Date()
  for (const error of ['', `\u0000\ud800${'x'.repeat(2_000)}`])
    for (const outcome of ['failed', 'impossible'] as const)
      for (const event of record(state, 'reserve:a', { outcome, error }, now, policy)) encodeEvent(event)
  for (const event of record(state, 'reserve:a', { outcome: 'refused', reason: '\n'.repeat(999) }, now, policy))
    encodeEvent(event)
})
