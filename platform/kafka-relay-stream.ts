import type { Message } from 'kafkajs'
import type { StoredEvent } from '../schemas/envelope.ts'
import type { EventJson } from './event-store.ts'
import { encodeEventMessage, encodeMark } from './kafka-message.ts'
import { type Partitioning, partitionKey } from './partitioning.ts'

/** A message that has its place in a partition. */
export type RelayMessage = Message & { readonly value: string; readonly partition: number }

/** Turns the log into the messages of its partitions, each linked to the one before it in its partition. */
export interface RelayStream {
  event(stored: StoredEvent, json?: EventJson): RelayMessage
  /** One for each partition that has heard nothing of the log up to this position. */
  marks(position: bigint): RelayMessage[]
  /** Whether some partition has heard less. */
  owes(position: bigint): boolean
}

/** @param start everything up to this position is in the topic, or is no concern of it */
export const createRelayStream = ({ partitions, of }: Partitioning, start: bigint): RelayStream => {
  const heard = new Map(partitions.map((partition) => [partition, start]))
  const advance = (partition: number, position: bigint): bigint => {
    const after = heard.get(partition) ?? start
    heard.set(partition, position)
    return after
  }
  return {
    event: (stored, json) => {
      const partition = of(stored.stream)
      const value = encodeEventMessage(stored, advance(partition, stored.position), json)
      return { key: partitionKey(stored.stream), value, partition: partition - 1 }
    },
    marks: (position) =>
      [...heard].flatMap(([partition, after]) => {
        if (after >= position) return []
        advance(partition, position)
        return [{ value: encodeMark({ position, after }), partition: partition - 1 }]
      }),
    owes: (position) => [...heard.values()].some((after) => after < position),
  }
}

/** Kafka takes the messages of one partition in one request as one batch, which must not grow beyond its limit. */
const maxBytesPerPartition = 1_000_000

/** Cuts messages, in order, into requests of which no partition's share is too large, but for single large messages. */
export const cut = (messages: readonly RelayMessage[]): RelayMessage[][] => {
  const requests: RelayMessage[][] = []
  let request: RelayMessage[] = []
  let bytes = new Map<number, number>()
  for (const message of messages) {
    const share = (bytes.get(message.partition) ?? 0) + 3 * message.value.length
    if (share > maxBytesPerPartition && bytes.has(message.partition)) {
      requests.push(request)
      request = []
      bytes = new Map()
    }
    bytes.set(message.partition, (bytes.get(message.partition) ?? 0) + 3 * message.value.length)
    request.push(message)
  }
  if (request.length > 0) requests.push(request)
  return requests
}
