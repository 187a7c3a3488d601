import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import { orderStream, paymentStream } from '../schemas/streams.ts'
import { createPartitioning, isSealed, murmur2, seal, unseal } from './partitioning.ts'

const theirs: (key: Buffer) => number = createRequire(import.meta.url)(
  'kafkajs/src/producer/partitioners/default/murmur2.js',
)

describe('the partitioner', () => {
  test('hashes as the clients of Kafka do, whatever the length', () => {
    // From the test of Kafka's Java client.
    expect(murmur2(Buffer.from('21'))).toBe(-973932308)
    expect(murmur2(Buffer.from('foobar'))).toBe(-790332482)
    expect(murmur2(Buffer.from('a-little-bit-long-string'))).toBe(-985981536)
    for (let length = 0; length < 200; length += 1) {
      const key = Buffer.from(Array.from({ length }, (_, index) => (index * 37 + length) % 256))
      expect(murmur2(key)).toBe(theirs(key))
    }
  })

  test('keeps what belongs to one order together and uses every partition', () => {
    const { partitions, of } = createPartitioning(6)
    const used = new Set<number>()
    for (let index = 0; index < 200; index += 1) {
      const partition = of(orderStream(`id-${index}`))
      expect(of(paymentStream(`id-${index}`))).toBe(partition)
      used.add(partition)
    }
    expect([...used].sort()).toEqual(partitions)
  })

  test('a sealed checkpoint is beyond every position and gives back where it stood', () => {
    expect(isSealed(123_456_789n)).toBe(false)
    expect(isSealed(seal(0n))).toBe(true)
    expect(unseal(seal(42n))).toBe(42n)
  })
})
