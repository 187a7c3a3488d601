import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import { idOf } from '../schemas/streams.ts'
import { toReadableView } from './event-view.ts'

/** An event of an order on its way to subscribers. */
export interface LiveEvent {
  readonly type: string
  readonly orderId: string
  readonly customerId: string | undefined
  readonly revision: bigint
  readonly position: bigint
  /**
   * What clients see of it, as JSON: made once, however many subscribers share it.
   *
   * @throws UndecodableEvent `newer-event`: a server with newer code can show it
   */
  json(): string
}

/** The live event of a stored one; undefined when it is not an event of an order. */
export const toLiveEvent = (
  stored: StoredEvent,
  decode: (stored: StoredEvent) => RecordedEvent,
): LiveEvent | undefined => {
  if (!stored.stream.startsWith('order-')) return undefined
  // Every version of every order event names its customer, so that nothing is decoded that nobody waits for.
  const { customerId } = stored.data as { customerId?: unknown }
  let json: string | undefined
  return {
    type: stored.type,
    orderId: idOf(stored.stream),
    customerId: typeof customerId === 'string' ? customerId : undefined,
    revision: stored.revision,
    position: stored.position,
    json: () => {
      json ??= JSON.stringify(toReadableView(stored, decode))
      return json
    },
  }
}
