import { expect, test } from 'vitest'
import { formatConsistencyToken, parseConsistencyToken } from './consistency-token.ts'

const log = 'a73b551f-0d6f-4f1d-8a01-0193b0c47d5e'

test('a token names its log and its place, and is read back', () => {
  const token = formatConsistencyToken(log, 9_223_372_036_854_775_807n)
  expect(token).toBe('a73b551f-9223372036854775807')
  expect(parseConsistencyToken(log, token)).toEqual({ log: 'a73b551f', position: 9_223_372_036_854_775_807n })
})

test.each([
  '',
  'a73b551f',
  'a73b551f-',
  'a73b551f--1',
  'a73b551f-01',
  'A73B551F-1',
  'b73b551f-1',
  `a73b551f-${'9'.repeat(19)}`,
  `a73b551f-${'9'.repeat(20)}`,
  'a73b551f-1 ',
])('"%s" is no token of this log', (text) => {
  expect(parseConsistencyToken(log, text)).toBeUndefined()
})
