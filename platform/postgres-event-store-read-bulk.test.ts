import { expect, test } from 'vitest'
import type { CopiedOut } from './copy.ts'
import { createBulkPages } from './postgres-event-store-read-bulk.ts'

const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
const over = Buffer.of(0xff, 0xff)
const field = (bytes: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}
const rowOf = (position: bigint, text: string): Buffer =>
  Buffer.concat([
    Buffer.of(0, 5),
    ...[int64(position), int64(0n), Buffer.from(`order-${text}`), Buffer.from('order.placed.v2')].map(field),
    field(Buffer.from(JSON.stringify({ text }))),
  ])
const pageOf = (position: bigint, text: string): CopiedOut => {
  const bytes = Buffer.concat([header, rowOf(position, text), over])
  return { pieces: [bytes.subarray(0, 30), bytes.subarray(30)], bytes: bytes.length, whole: true }
}
const bare = { withoutMetadata: true }

test('events stay as they are while the next pages lie where theirs lay, whoever else reads meanwhile', async () => {
  const texts = ['first', 'a longer second', '"third"', 'größe', 'x'.repeat(3_000), 'last']
  let next = 0
  const read = createBulkPages({
    copyOut: async () => {
      const index = next
      next += 1
      return pageOf(BigInt(index), texts[index] ?? '')
    },
  })
  const one = [await read(0n, 1, bare), await read(0n, 1, bare)]
  const pages = [
    ...one,
    ...(await Promise.all([read(0n, 1, bare), read(0n, 1, bare), read(0n, 1, bare), read(0n, 1, bare)])),
  ]
  expect(pages.map(({ events: [event] }) => [event?.position, event?.stream, event?.data])).toEqual(
    texts.map((text, index) => [BigInt(index), `order-${text}`, { text }]),
  )
})

test('a page that is cut before its first event is no end of the log', async () => {
  const read = createBulkPages({ copyOut: async () => ({ pieces: [header], bytes: header.length, whole: false }) })
  await expect(read(7n, 10, bare)).rejects.toThrow('after 7 was cut before its first event')
})
