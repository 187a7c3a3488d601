import { idOf } from '../schemas/streams.ts'

/** How streams are spread over the partitions of a feed, and how those are numbered. */
export interface Partitioning {
  /** 1 to n. Number 0 is the log as a whole, so that the two never share a checkpoint. */
  readonly partitions: readonly number[]
  /** The partition of a stream: everything about one business id lies in one. */
  of(stream: string): number
}

/** The business id by which a stream finds its partition: order id, SKU or customer id. */
export const partitionKey = (stream: string): string => idOf(stream)

const multiplier = 0x5bd1e995

/** murmur2 with Kafka's own seed, 32 bits signed: the partitioner of the Java client, so that other tools agree. */
export const murmur2 = (data: Uint8Array): number => {
  const { length } = data
  const byte = (index: number): number => data[index] ?? 0
  const whole = length & ~3
  let hash = 0x9747b28c ^ length
  for (let index = 0; index < whole; index += 4) {
    let k = byte(index) | (byte(index + 1) << 8) | (byte(index + 2) << 16) | (byte(index + 3) << 24)
    k = Math.imul(k, multiplier)
    k ^= k >>> 24
    hash = Math.imul(hash, multiplier) ^ Math.imul(k, multiplier)
  }
  const rest = length - whole
  if (rest === 3) hash ^= byte(whole + 2) << 16
  if (rest >= 2) hash ^= byte(whole + 1) << 8
  if (rest >= 1) hash = Math.imul(hash ^ byte(whole), multiplier)
  hash ^= hash >>> 13
  hash = Math.imul(hash, multiplier)
  return hash ^ (hash >>> 15)
}

const encoder = new TextEncoder()

/** @param count of partitions, at least 1 */
export const createPartitioning = (count: number): Partitioning => ({
  partitions: Array.from({ length: count }, (_, index) => index + 1),
  of: (stream) => ((murmur2(encoder.encode(partitionKey(stream))) & 0x7fffffff) % count) + 1,
})

/** Beyond every position of a log, and still a number that every store keeps exactly. */
export const sealing = 2n ** 52n

/**
 * A checkpoint of the whole log, once its consumer has gone over to partitions: whoever still believes to write from
 * the whole log finds it moved and is fenced.
 */
export const seal = (position: bigint): bigint => position + sealing

export const isSealed = (position: bigint): boolean => position >= sealing

/** Where a sealed checkpoint stood when its consumer went over. */
export const unseal = (position: bigint): bigint => position - sealing

/** SQL: leaves out checkpoints that were handed over to partitions. */
export const unsealedOnly = `position < ${sealing}`
