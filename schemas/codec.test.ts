import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { encodeEvent, eventSchemas, InvalidEvent } from './codec.ts'
import { decodeEvent, UndecodableEvent } from './decoding.ts'
import type { StoredEvent } from './envelope.ts'
import { retiredSchemas } from './retired-schemas.ts'
import { namesOf, storedNames } from './stored-names.ts'
import { validate } from './validation.ts'

const directory = new URL('./fixtures/', import.meta.url)
const fixtureNames = readdirSync(directory).map((file) => file.replace(/\.json$/, ''))
const fixture = (name: string) => JSON.parse(readFileSync(new URL(`${name}.json`, directory), 'utf8'))

const stored = (type: string, data: unknown): StoredEvent => ({
  id: '00000000-0000-4000-8000-000000000001',
  stream: 'order-0193b0c4-7d5e-7a60-9d37-0d6f3f1d2a01',
  revision: 0n,
  position: 7n,
  type,
  data,
  metadata: { commandId: 'c', correlationId: 'c', causationId: 'c', actor: 'test' },
  recordedAt: '2026-01-31T09:30:00.000Z',
})

describe('every stored version', () => {
  const versions = [...Object.values(storedNames), ...Object.keys(retiredSchemas)]

  test('has a golden fixture, and no fixture is of an unknown version', () => {
    expect(fixtureNames.toSorted()).toEqual(versions.toSorted())
  })

  test.each(fixtureNames)('%s is read as a valid event of today', (name) => {
    const event = decodeEvent(stored(name, fixture(name)))
    expect(validate(eventSchemas[event.type], event.data)).toEqual({ valid: true, value: event.data })
    expect(namesOf(event.type)).toContain(name)
  })

  test.each(Object.entries(storedNames))('%s is stored as %s exactly as it was given', (type, name) => {
    const event = decodeEvent(stored(name, fixture(name)))
    expect(event.type).toBe(type)
    expect(encodeEvent(event)).toEqual({ type: name, data: fixture(name) })
  })

  test.each(Object.entries(retiredSchemas))('the fixture of the retired %s matches its schema', (name, schema) => {
    expect(validate(schema, fixture(name)).valid).toBe(true)
  })
})

test('an order placed in version 1 gets currencies and line names', () => {
  const event = decodeEvent(stored('order.placed.v1', fixture('order.placed.v1')))
  expect(event).toMatchObject({
    type: 'OrderPlaced',
    data: {
      total: { amount: 125700, currency: 'EUR' },
      lines: [
        { sku: 'PHONE-15-PRO', name: 'PHONE-15-PRO', quantity: 1, unitPrice: { amount: 119900, currency: 'EUR' } },
        { sku: 'CASE-15-PRO', name: 'CASE-15-PRO', quantity: 2, unitPrice: { amount: 2900, currency: 'EUR' } },
      ],
    },
  })
  expect(event.data).not.toHaveProperty('currency')
})

test('an unknown name and a newer version are told apart', () => {
  const codeOf = (name: string) => {
    try {
      decodeEvent(stored(name, {}))
      return 'decoded'
    } catch (error) {
      return error instanceof UndecodableEvent ? error.code : error
    }
  }
  expect(codeOf('order.placed.v3')).toBe('newer-event')
  expect(codeOf('order.teleported.v1')).toBe('unknown-event')
  expect(codeOf('nonsense')).toBe('unknown-event')
  expect(codeOf('order.placed.v2')).toBe('decoded')
})

test('an event that breaks its schema never reaches the log', () => {
  const data = { ...fixture('order.placed.v2'), total: { amount: 1.5, currency: 'EUR' } }
  expect(() => encodeEvent({ type: 'OrderPlaced', data })).toThrow(InvalidEvent)
  expect(() => encodeEvent({ type: 'OrderPlaced', data })).toThrow('/total/amount must be integer')
})
