import { expect, test } from 'vitest'
import { fieldsOf } from './copy.ts'

test('fields come out of a COPY as they went in', () => {
  const sent = `${String.raw`1	a\\b	{"text":"say \\"hi\\"\\n"}	tab\t line\n return\r rest\b\f\v é`}\n2\t\tb\t\n`
  expect(fieldsOf(Buffer.from(sent))).toEqual([
    ['1', 'a\\b', '{"text":"say \\"hi\\"\\n"}', 'tab\t line\n return\r rest\b\f\v é'],
    ['2', '', 'b', ''],
  ])
  expect(fieldsOf(Buffer.from(''))).toEqual([])
})
