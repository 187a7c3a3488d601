import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { Timestamp, Uuid } from '../schemas/primitives.ts'
import { decodeCursor, encodeCursor, pageOf } from './cursor.ts'

const Key = Type.Tuple([Timestamp, Uuid], { additionalItems: false, minItems: 2 })
const key = ['2026-03-01T10:00:00.000Z', '7f6b2f0e-5a2e-4c39-9f0e-3f6f3f0e5a2e'] as const
const question = { status: 'placed', sort: 'placedAt', limit: 10 }
const cursor = encodeCursor('orders', question, key)
const refused = expect.objectContaining({ code: 'invalid-cursor' })

test('a cursor comes back as the sort key that went in', () => {
  expect(decodeCursor('orders', { ...question, cursor }, Key)).toEqual(key)
})

test('no cursor is the first page', () => {
  expect(decodeCursor('orders', question, Key)).toBeUndefined()
})

test('the page size and the patience may change, the order of members does not matter', () => {
  const other = { cursor, waitMs: 5, limit: 99, sort: 'placedAt', status: 'placed', sku: undefined }
  expect(decodeCursor('orders', other, Key)).toEqual(key)
})

test('a cursor is refused with other filters, another sort or by another list', () => {
  for (const changed of [{ status: 'shipped' }, { sort: 'total' }, { sku: 'mug' }])
    expect(() => decodeCursor('orders', { ...question, ...changed, cursor }, Key)).toThrow(refused)
  expect(() => decodeCursor('sagas', { ...question, cursor }, Key)).toThrow(refused)
})

test('a cursor that somebody made up is refused', () => {
  const digest = JSON.parse(Buffer.from(cursor, 'base64url').toString())[0]
  const forged = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  for (const made of ['x', 'AAAA', forged({}), forged(null), forged([digest]), forged([digest, 'now', 1])])
    expect(() => decodeCursor('orders', { ...question, cursor: made }, Key)).toThrow(refused)
})

test('the row beyond the page only tells that there is more', () => {
  const identity = (row: number) => row
  expect(pageOf([1, 2, 3], 2, identity, String)).toEqual({ items: [1, 2], nextCursor: '2' })
  expect(pageOf([1, 2], 2, identity, String)).toEqual({ items: [1, 2], nextCursor: null })
  expect(pageOf([], 2, identity, String)).toEqual({ items: [], nextCursor: null })
})
