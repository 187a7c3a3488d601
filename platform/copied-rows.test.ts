import { expect, test } from 'vitest'
import { copiedRows } from './copied-rows.ts'

const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
const over = Buffer.of(0xff, 0xff)

const field = (bytes: Buffer | null): Buffer => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes?.length ?? -1)
  return Buffer.concat([length, bytes ?? Buffer.alloc(0)])
}
const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}
const rowOf = (...values: readonly (bigint | string | null)[]): Buffer => {
  const count = Buffer.alloc(2)
  count.writeInt16BE(values.length)
  const bytes = values.map((value) =>
    field(value === null ? null : typeof value === 'bigint' ? int64(value) : Buffer.from(value)),
  )
  return Buffer.concat([count, ...bytes])
}
const sent = (...rows: readonly Buffer[]) => Buffer.concat([header, ...rows, over])
const shape = { integers: 1, texts: 2, documents: 2 }
const read = (bytes: Buffer) => copiedRows(bytes, shape, true)

test('rows have their integers, their texts and what their JSON says', () => {
  const rows = [rowOf(1n, 'a', '', '{"x":[1,"2"]}', 'null'), rowOf(2n, ' b ', '[,]', '"c"', ' 3.5 ')]
  const expected = {
    count: 2,
    integers: [1n, 2n],
    values: ['a', '', { x: [1, '2'] }, null, ' b ', '[,]', 'c', 3.5],
    documents: ['{"x":[1,"2"]}', 'null', '"c"', ' 3.5 '],
  }
  expect(read(sent(...rows))).toEqual(expected)
  // What was cut off has no end.
  expect(read(Buffer.concat([header, ...rows]))).toEqual(expected)
  expect(copiedRows(sent(...rows), shape)).toEqual({ ...expected, documents: [] })
})

test('there may be none', () => {
  const none = { count: 0, integers: [], values: [], documents: [] }
  expect(read(sent())).toEqual(none)
  expect(read(Buffer.from(header))).toEqual(none)
})

test('rows need have neither integers nor texts', () => {
  expect(copiedRows(sent(rowOf('{}'), rowOf('[]')), { integers: 0, texts: 0, documents: 1 }).values).toEqual([{}, []])
  const two = copiedRows(sent(rowOf('a', '1'), rowOf('b', '2')), { integers: 0, texts: 1, documents: 1 })
  expect(two.values).toEqual(['a', 1, 'b', 2])
})

test('texts are what they were, whatever is in them', () => {
  const texts = ['","', '\\', '"', '\\u0041', 'a\nb\tc\r\u0001', '],[', 'größe 店 🛒', 'é"', '\u2028']
  for (const text of texts) {
    expect(read(sent(rowOf(1n, 'before', text, '{}', '{}'), rowOf(2n, text, 'after', '{"é":1}', '{}')))).toEqual({
      count: 2,
      integers: [1n, 2n],
      values: ['before', text, {}, {}, text, 'after', { é: 1 }, {}],
      documents: ['{}', '{}', '{"é":1}', '{}'],
    })
  }
})

test('JSON is read as it was written', () => {
  const json = '{"text":"\\u00e9 \\"quoted\\"\\n é 店","deep":[[[{}]]],\n "big":1e300}'
  const { values, documents } = read(sent(rowOf(1n, 'a', 'b', json, '{}')))
  expect(values[2]).toEqual(JSON.parse(json))
  expect(documents).toEqual([json, '{}'])
})

test('integers have all of their 64 bits', () => {
  const integers = [
    0n,
    255n,
    256n,
    0xffff_ffffn,
    0x1_0000_0000n,
    2n ** 53n,
    2n ** 53n + 1n,
    2n ** 63n - 1n,
    -1n,
    -(2n ** 63n),
  ]
  const rows = integers.map((integer) => rowOf(integer, '', '', '0', '0'))
  expect(read(sent(...rows)).integers).toEqual(integers)
})

test('anything else is no page', () => {
  const row = rowOf(1n, 'a', 'b', '{}', '{}')
  expect(() => read(Buffer.from('1\ta\tb\t{}\t{}\n'))).toThrow('not in binary format')
  expect(() => read(sent(rowOf(1n, 'a', 'b', '{}')))).toThrow('rows of 4 columns')
  expect(() => read(sent(rowOf(1n, null, 'b', '{}', '{}')))).toThrow('has a null')
  expect(() => read(sent(rowOf('1', 'a', 'b', '{}', '{}')))).toThrow('no integer')
  for (let cut = 1; cut < row.length; cut += 1)
    expect(() => read(Buffer.concat([header, row, row.subarray(0, cut)]))).toThrow(
      /^what COPY sent (ends within a row|has rows of 0 columns)/,
    )
  expect(() => read(sent(rowOf(1n, 'a', 'b', '{}', '{},{}')))).toThrow('torn')
  expect(() => read(sent(rowOf(1n, 'a', 'b', '{', '}')))).toThrow(SyntaxError)
})
