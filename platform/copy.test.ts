import { expect, test } from 'vitest'
import { rowsOf } from './copy.ts'

const threeOf = (sent: string) => rowsOf(Buffer.from(sent), (field) => [field(0), field(1), field(2)])

test('what COPY sends is taken apart, and what it has escaped is as it was', () => {
  expect(threeOf('1\ta\\tb\\\\c\\nd\\re\t\n2\t\\b\\f\\v\\.\té\u2028"\n')).toEqual([
    ['1', 'a\tb\\c\nd\re', ''],
    ['2', '\b\f\v.', 'é\u2028"'],
  ])
  expect(threeOf('1\t\tx\n\t2\t\n')).toEqual([
    ['1', '', 'x'],
    ['', '2', ''],
  ])
  expect(threeOf('')).toEqual([])
})

test('what ends within a row is no row', () => {
  expect(() => threeOf('1\t2\t3\n4\t5')).toThrow('ends within a row')
})
