import type { StoredEvent } from '../schemas/envelope.ts'
import type { EventJson } from './event-store.ts'

/**
 * What travels in the topic, as JSON. An event is its envelope; a mark has no more than its place. Both begin with
 *
 *     {"position":"42","after":"40"
 *
 * which says: after 40, nothing of this partition comes before 42. So a reader that has everything up to 40 or more
 * misses nothing, and one that has less knows exactly what it misses, whatever happened to the topic in between.
 */
export interface Place {
  /** What the reader has once it has taken the message. */
  readonly position: bigint
  /** What the reader must have before. */
  readonly after: bigint
}

/** The place of a message, and whether there is more to it. */
export interface ReadPlace extends Place {
  readonly isEvent: boolean
}

/** @param json data and metadata, when the store has given them so: they are not written anew */
export const encodeEventMessage = (stored: StoredEvent, after: bigint, json?: EventJson): string => {
  const { position, revision, id, stream, type, recordedAt } = stored
  const data = json?.data ?? JSON.stringify(stored.data)
  const metadata = json?.metadata ?? JSON.stringify(stored.metadata)
  return (
    `{"position":"${position}","after":"${after}","revision":"${revision}","id":"${id}","stream":${JSON.stringify(stream)},` +
    `"type":${JSON.stringify(type)},"recordedAt":"${recordedAt}","data":${data},"metadata":${metadata}}`
  )
}

export const encodeMark = ({ position, after }: Place): string => `{"position":"${position}","after":"${after}"}`

const quote = '"'.charCodeAt(0)
const comma = ','.charCodeAt(0)
const beforePosition = '{"position":"'.length
const beforeAfter = '","after":"'.length
/** The first in the message: before it are nothing but numbers. */
const beforeId = '"id":"'

/** @throws Error when it is none of our messages */
export const readPlace = (value: Buffer | null): ReadPlace => {
  const positionEnd = value?.indexOf(quote, beforePosition) ?? -1
  const afterEnd = value?.indexOf(quote, positionEnd + beforeAfter) ?? -1
  if (!value || positionEnd < 0 || afterEnd < 0)
    throw new Error('a message that the relay did not write is in the topic')
  return {
    position: BigInt(value.toString('latin1', beforePosition, positionEnd)),
    after: BigInt(value.toString('latin1', positionEnd + beforeAfter, afterEnd)),
    isEvent: value[afterEnd + 1] === comma,
  }
}

/** Whether a message that is an event is the one of this id, without reading the rest of it. */
export const isMessageOf = (value: Buffer, id: string): boolean => {
  const at = value.indexOf(beforeId) + beforeId.length
  return value.toString('latin1', at, at + id.length) === id
}

/** The event of a message that is one. */
export const decodeMessage = (value: Buffer): StoredEvent => {
  const message = JSON.parse(value.toString('utf8')) as Record<'position' | 'revision', string> &
    Omit<StoredEvent, 'position' | 'revision'>
  const { id, stream, type, recordedAt, data, metadata } = message
  const [revision, position] = [BigInt(message.revision), BigInt(message.position)]
  return { id, stream, type, recordedAt, data, metadata, revision, position }
}
