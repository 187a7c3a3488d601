import { expect, test } from 'vitest'
import { copyLines } from './row-copy.ts'

test('rows become lines that COPY reads as they were', () => {
  const columns = [
    ['id', 'text'],
    ['note', 'text'],
    ['lines', 'json'],
    ['skus', 'text[]'],
    ['units', 'integer'],
    ['gone', 'timestamptz'],
  ] as const
  const row = {
    id: '',
    note: 'a\tb\nc\r\\N',
    lines: [{ name: 'say "hi" \\ \n' }],
    skus: ['plain', 'with "quotes"', 'back\\slash', '', 'NULL', 'a,b'],
    units: 3,
    gone: null,
  }
  expect(copyLines(columns, [row, { ...row, id: 'x' }])).toBe(
    [
      `\ta\\tb\\nc\\r\\\\N\t[{"name":"say \\\\"hi\\\\" \\\\\\\\ \\\\n"}]\t{"plain","with \\\\"quotes\\\\"","back\\\\\\\\slash","","NULL","a,b"}\t3\t\\N\n`,
      `x\ta\\tb\\nc\\r\\\\N\t[{"name":"say \\\\"hi\\\\" \\\\\\\\ \\\\n"}]\t{"plain","with \\\\"quotes\\\\"","back\\\\\\\\slash","","NULL","a,b"}\t3\t\\N\n`,
    ].join(''),
  )
})
