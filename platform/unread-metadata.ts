import type { EventMetadata, StoredEvent } from '../schemas/envelope.ts'
import type { EventStore } from './event-store.ts'

const unread = (): never => {
  throw new Error('the metadata of this event was not read: whoever needs it has to say so')
}

/** In place of what was left out: whoever looks at it fails, and takes nothing for what the log holds. */
export const unreadMetadata = new Proxy({} as EventMetadata, { get: unread, has: unread, ownKeys: unread })

/** In place of the time and the id, which are left out with the metadata: no column of times or of ids takes them. */
export const unreadTime = 'unread'
export const unreadId = 'unread'

/** Events as the log holds them: those without their metadata are read again, those of a stream together. */
export const readWhole = async (
  store: Pick<EventStore, 'readStream'>,
  events: readonly StoredEvent[],
): Promise<readonly StoredEvent[]> => {
  const missing = events.filter(({ metadata }) => metadata === unreadMetadata)
  if (missing.length === 0) return events
  const spans = new Map<string, { from: bigint; to: bigint }>()
  for (const { stream, revision } of missing) {
    const { from, to } = spans.get(stream) ?? { from: revision, to: revision }
    spans.set(stream, { from: revision < from ? revision : from, to: revision > to ? revision : to })
  }
  const placeOf = ({ stream, revision }: StoredEvent): string => `${stream}@${revision}`
  const found = new Map<string, StoredEvent>()
  for (const [stream, { from, to }] of spans) {
    const slice = await store.readStream(stream, { from, limit: Number(to - from) + 1 })
    for (const event of slice.events) found.set(placeOf(event), event)
  }
  return events.map((event) => {
    if (event.metadata !== unreadMetadata) return event
    const whole = found.get(placeOf(event))
    if (!whole) throw new Error(`event ${placeOf(event)} is not in the log any more`)
    return whole
  })
}
