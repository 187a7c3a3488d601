import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { Money, strict, Timestamp, text, Uuid } from './primitives.ts'
import { ListOrdersQuery, OrderStatus } from './queries.ts'
import { validate, validateQuery } from './validation.ts'

const id = '0193b0c4-7d5e-7a60-9d37-0d6f3f1d2a01'

test.each<[string, Parameters<typeof validate>[0], unknown, string | undefined]>([
  ['a uuid', Uuid, id, undefined],
  ['a uuid in capitals', Uuid, id.toUpperCase(), 'must be a uuid in lower case'],
  ['a URN', Uuid, `urn:uuid:${id}`, 'must be a uuid in lower case'],
  ['a time', Timestamp, '2026-01-31T09:30:00.000Z', undefined],
  ['a time in another zone', Timestamp, '2026-01-31T09:30:00.000+01:00', 'must be a UTC time such as'],
  ['the last day of February', Timestamp, '2028-02-29T09:30:00.000Z', undefined],
  ['day zero', Timestamp, '2026-01-00T09:30:00.000Z', 'must be a UTC time such as'],
  ['the 29th of a February that has 28', Timestamp, '2026-02-29T09:30:00.000Z', 'must be a UTC time such as'],
  ['the 31st of a short month', Timestamp, '2026-02-31T09:30:00.000Z', 'must be a UTC time such as'],
  ['text with a line break', text(1, 10), 'a\nb', undefined],
  ['text with U+0000', text(1, 10), 'a\u0000b', 'must be well-formed text'],
  ['half an emoji', text(1, 10), '\ud83d', 'must be well-formed text'],
  ['money', Money, { amount: 1999, currency: 'EUR' }, undefined],
  ['money of no currency', Money, { amount: 1999, currency: 'XYZ' }, 'must be an ISO 4217 currency code'],
  ['a fraction of a cent', Money, { amount: 0.5, currency: 'EUR' }, 'must be integer'],
  ['a number beyond exactness', Money, { amount: 2 ** 53, currency: 'EUR' }, 'must be <= 9007199254740991'],
  ['a status', OrderStatus, 'placed', undefined],
  ['no status', OrderStatus, 'lost', 'must be one of "placed", "confirmed", "shipped", "delivered", "cancelled"'],
])('%s', (_, schema, value, problem) => {
  const validation = validate(schema, value)
  if (problem === undefined) expect(validation).toEqual({ valid: true, value })
  else expect(validation).toMatchObject({ valid: false, problems: [{ message: expect.stringContaining(problem) }] })
})

test('in a query numbers come as text, and only whole and finite ones are numbers', () => {
  expect(validateQuery(ListOrdersQuery, { limit: '20', totalFrom: '5' })).toEqual({
    valid: true,
    value: { limit: 20, totalFrom: 5 },
  })
  for (const limit of ['1e999', '-1', '1.5', 'ten', '201', ''])
    expect(validateQuery(ListOrdersQuery, { limit }), limit).toMatchObject({ valid: false })
})

test('an unknown member is named', () => {
  expect(validate(strict({ a: Type.Integer() }), { a: 1, b: 2 })).toMatchObject({
    problems: [{ message: 'has an unknown member "b"' }],
  })
})
