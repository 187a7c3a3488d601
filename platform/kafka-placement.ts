import type { Admin } from 'kafkajs'
import { kafkaUnavailable } from './kafka-client.ts'
import type { Extent } from './kafka-topic.ts'

/** What the last owner of a partition noted: everything before the offset lies at or before the position. */
export interface OffsetHint {
  readonly offset: bigint
  readonly position: bigint
}

/** Where to begin to read a partition. */
export interface Start {
  readonly offset: bigint
  /** `known`: nothing before it is missing. `search`: go further back when it turns out too late. `first`: there is none before. */
  readonly how: 'known' | 'search' | 'first'
}

/** The first step back, in messages; each further step is four times as large. */
export const firstStep = 1_024n

/**
 * Where a consumer that has everything up to a position begins. An offset is never more than a hint: what is read from
 * there says itself what comes before it.
 */
export const startOf = (position: bigint, { low, high }: Extent, hint: OffsetHint | undefined): Start => {
  if (!hint || hint.offset < low || hint.offset > high || position === 0n) return { offset: low, how: 'first' }
  if (hint.position <= position) return { offset: hint.offset, how: 'known' }
  const back = hint.offset - firstStep
  return back > low ? { offset: back, how: 'search' } : { offset: low, how: 'first' }
}

/** The hints of a group, by Kafka's number of the partition. @throws EngineUnavailable */
export const offsetHints = async (
  admin: Admin,
  groupId: string,
  topic: string,
): Promise<ReadonlyMap<number, OffsetHint>> => {
  const hints = new Map<number, OffsetHint>()
  const [noted] = await admin.fetchOffsets({ groupId, topics: [topic] }).catch((error: unknown) => {
    throw kafkaUnavailable(error)
  })
  for (const { partition, offset, metadata } of noted?.partitions ?? [])
    if (metadata && /^\d+$/.test(metadata) && !offset.startsWith('-'))
      hints.set(partition, { offset: BigInt(offset), position: BigInt(metadata) })
  return hints
}
