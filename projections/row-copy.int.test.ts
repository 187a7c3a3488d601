import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { copyRows, rowWriter } from './row-copy.ts'

let rig: TestDatabase
beforeAll(async () => {
  rig = await openTestDatabase({ migrated: false })
})
afterAll(() => rig.drop())

const columns = [
  ['n', 'integer'],
  ['id', 'uuid'],
  ['note', 'text'],
  ['lines', 'json'],
  ['skus', 'text[]'],
  ['amount', 'bigint'],
  ['at', 'timestamptz'],
] as const
const definition = columns.map((column) => column.join(' ')).join(', ')
const names = columns.map(([name]) => name).join(', ')
type Row = Readonly<Record<string, unknown>>

const id = '0189f7a0-ABCD-4def-8a00-00000000fFfF'
const whole: Row = {
  n: 0,
  id,
  note: 'a\tb\nc\r\\N "quoted" ü€🦊',
  lines: [{ name: 'say "hi" \\ \n ü' }],
  skus: ['plain', 'with "quotes"', 'back\\slash', '', 'NULL', 'a,b', '{}', 'ü€🦊'],
  amount: 12,
  at: '2026-03-01T09:00:00.123Z',
}

/** Copies rows, and says which were left to the server, and how all of them stand there. */
const copied = async (rows: readonly Row[]) => {
  const writeRow = rowWriter(columns)
  const refused: Row[] = []
  const shown = `select ${columns.map(([name]) => `${name}::text`).join(', ')} from`
  const stand = await rig.database.transaction(async (transaction) => {
    await transaction.query(`create temporary table copied (${definition}) on commit drop`)
    const bytes = copyRows(rows, writeRow, (row) => refused.push(row))
    await transaction.copy?.(`copy copied (${names}) from stdin with (format binary)`, bytes)
    return transaction.query<Row>(`${shown} copied order by copied.n`)
  })
  const taken = rows.filter((row) => !refused.includes(row))
  const told = await rig.database.query<Row>(`${shown} json_to_recordset($1) as told(${definition}) order by told.n`, [
    JSON.stringify(taken, (_, value) => (typeof value === 'bigint' ? value.toString() : value)),
  ])
  return { refused, stand, told }
}

test('rows stand in the table as if the server had been told them as JSON', async () => {
  const values: Row[] = [
    { note: '', lines: {}, skus: [] },
    { note: null, lines: null, skus: null, amount: null, at: null, id: undefined },
    { lines: 'text', skus: ['one'] },
    ...[47, 48, 49, 20_000].flatMap((length) =>
      ['x', 'ü', '\u0001', '\x7f', '\x80', '🦊'].map((last) => ({ note: 'a'.repeat(length - 1) + last })),
    ),
    { lines: 0, amount: 0 },
    ...[
      0,
      -0,
      1,
      -1,
      2 ** 31,
      -(2 ** 31),
      2 ** 32,
      -(2 ** 32) - 1,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
    ].map((amount) => ({ amount })),
    ...[0n, -7n, 2n ** 40n, '0', '-12', '123456789012345'].map((amount) => ({ amount })),
    ...[
      '2000-01-01T00:00:00Z',
      '1999-12-31T23:59:59.999999Z',
      '2024-02-29T12:34:56.7Z',
      '1970-01-01T00:00:00.000Z',
    ].map((at) => ({ at })),
    { at: '2026-12-31T23:59:59.000001Z' },
  ]
  const rows = values.map((value, n): Row => ({ ...whole, ...value, n: n * 7 - 50 }))
  const { refused, stand, told } = await copied(rows)
  expect(refused).toEqual([])
  expect(stand).toEqual(told)
  expect(stand).toHaveLength(rows.length)
})

test('what only the server can judge is left to it, and nothing of it is copied', async () => {
  const values: Row[] = [
    ...['', 'x', id.slice(1), `${id}0`, id.replaceAll('-', ''), id.replace('a', 'g'), `{${id.slice(2)}}`, 7].map(
      (each) => ({
        id: each,
      }),
    ),
    ...[7, Number.NaN, {}, ['a'], 'half \ud83e'].map((note) => ({ note })),
    ...['abc', {}, ['a', null], ['a', 7], ['\udd8a']].map((skus) => ({ skus })),
    ...[1.5, 2 ** 31, -(2 ** 31) - 1, '7', Number.NaN].map((n) => ({ n })),
    ...[1.5, 2 ** 53, '1.5', '', '1234567890123456', 2n ** 60n, '１'].map((amount) => ({ amount })),
    ...[
      '2026-02-29T00:00:00Z',
      '2026-13-01T00:00:00Z',
      '2026-00-01T00:00:00Z',
      '2026-04-31T00:00:00Z',
      '2026-04-00T00:00:00Z',
      '2026-01-01T24:00:00Z',
      '2026-01-01T00:60:00Z',
      '2026-01-01T00:00:60Z',
      '2026-01-01T00:00:00.Z',
      '2026-01-01T00:00:00.1234567Z',
      '2026-01-01T00:00:00+02:00',
      '2026-01-01 00:00:00Z',
      '2026-01-01T00:00:00',
      '2026-01-01',
      '9999-01-01T00:00:00Z',
      '0099-01-01T00:00:00Z',
      '20x6-01-01T00:00:00Z',
      'infinity',
      '',
      0,
    ].map((at) => ({ at })),
  ]
  const good = [
    { ...whole, n: 1 },
    { ...whole, n: 2 },
  ]
  const rows = [good[0], ...values.map((value): Row => ({ ...whole, ...value })), good[1]] as Row[]
  const { refused, stand, told } = await copied(rows)
  expect(refused).toHaveLength(values.length)
  expect(stand).toEqual(told)
  expect(stand).toHaveLength(2)
})

test('a type that nobody has said how to copy is a mistake that is seen at once', () => {
  expect(() => rowWriter([['on', 'date']])).toThrow('nobody has said how date is copied')
})

test('many rows go in pieces, and what waits meanwhile has its turn; a row may be longer than any before it', async () => {
  const texts = Array.from({ length: 1_000 }, (_, n) => ({ n, note: n === 700 ? 'ü€🦊'.repeat(100_000) : `${n}` }))
  const write = rowWriter([
    ['n', 'integer'],
    ['note', 'text'],
  ])
  let pieces = 0
  let turns = 0
  const ticking = setInterval(() => {
    turns += 1
  }, 0)
  const counted = async function* () {
    for await (const piece of copyRows(
      texts,
      (bytes, row) => {
        for (const begun = performance.now(); performance.now() - begun < 0.02; );
        return write(bytes, row)
      },
      () => undefined,
    )) {
      pieces += 1
      yield piece
    }
  }
  const stand = await rig.database.transaction(async (transaction) => {
    await transaction.query('create temporary table long (n integer, note text) on commit drop')
    await transaction.copy?.('copy long from stdin with (format binary)', counted())
    return transaction.query<Row>('select n, note from long order by n')
  })
  clearInterval(ticking)
  expect(JSON.stringify(stand) === JSON.stringify(texts)).toBe(true)
  expect(pieces).toBeGreaterThan(3)
  expect(turns).toBeGreaterThan(0)
})
