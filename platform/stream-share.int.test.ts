import { expect, test } from 'vitest'
import { openTestDatabase } from '../test/support/postgres.ts'
import { hashText, ofShare, shareOf } from './stream-share.ts'

const names = [
  ...Array.from({ length: 60 }, (_, length) =>
    'order-0190a5f0-0000-7000-8000-0000000000010190a5f0-0000-7'.slice(0, length),
  ),
  ...Array.from({ length: 500 }, () => `order-${crypto.randomUUID()}`),
  ...['inventory-PHONE-15-PRO', 'customer-größe', 'customer-店', 'customer-🛒', 'ÿ', '🛒', 'é'.repeat(13), '￿'],
].slice(1)

test('a stream is in the same share here and in PostgreSQL', async () => {
  const { database, drop } = await openTestDatabase()
  const hashes = await database.query<{ stream: string; hash: number }>(
    'select stream, hashtext(stream) as hash from unnest($1::text[]) as s(stream)',
    [names],
  )
  expect(hashes).toHaveLength(names.length)
  for (const { stream, hash } of hashes) expect([stream, hashText(stream)]).toEqual([stream, hash])
  for (const shares of [2, 3, 32]) {
    const found: string[] = []
    for (let index = 0; index < shares; index += 1) {
      const rows = await database.query<{ stream: string }>(
        `select stream from unnest($1::text[]) as s(stream) where ${ofShare({ index, of: shares })}`,
        [names],
      )
      for (const { stream } of rows) expect([stream, shareOf(stream, shares)]).toEqual([stream, index])
      found.push(...rows.map(({ stream }) => stream))
    }
    expect(found.sort()).toEqual([...names].sort())
  }
  await drop()
})

test('every share has about as many streams as the others', () => {
  const counts = [0, 0, 0, 0]
  for (let order = 0; order < 4_000; order += 1) {
    const share = shareOf(`order-${crypto.randomUUID()}`, 4)
    counts[share] = (counts[share] ?? 0) + 1
  }
  expect(Math.min(...counts)).toBeGreaterThan(800)
  expect(shareOf('order-1', 1)).toBe(0)
})
