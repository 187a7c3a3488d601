import type { RecordedEvent, StoredEvent, StoredFact } from './envelope.ts'
import type { DomainEvent, DomainEventType } from './events.ts'
import { upcasters } from './history.ts'
import { storedNames } from './stored-names.ts'
import { buildUpcastingTable, type StoredData } from './upcasting.ts'

const typeOfName = new Map<string, DomainEventType>(
  Object.entries(storedNames).map(([type, name]) => [name, type as DomainEventType]),
)

const table = buildUpcastingTable(Object.values(storedNames), upcasters)

/** How to read each stored name: as which event of today, and the way there. */
const readings = new Map(
  [...table].flatMap(([name, { newest, upcast }]) => {
    const type = typeOfName.get(newest)
    return type ? [[name, { type, upcast }] as const] : []
  }),
)

/** This version of the code has no way to read a stored event. `code` says why. */
export class UndecodableEvent extends Error {
  readonly code: 'unknown-event' | 'newer-event'
  constructor(code: 'unknown-event' | 'newer-event', storedName: string, place: string) {
    super(
      code === 'newer-event'
        ? `event ${place} is a "${storedName}", a newer version than this code knows`
        : `event ${place} is a "${storedName}", a name that this code does not know`,
    )
    this.name = 'UndecodableEvent'
    this.code = code
  }
}

const isNewerVersion = (storedName: string): boolean => {
  const [, stem] = /^(.+)\.v\d+$/.exec(storedName) ?? []
  return stem !== undefined && table.has(`${stem}.v1`)
}

/**
 * Reads what happened, in any version that was ever written, as an event of today.
 *
 * @param place where the event is in the log, for the message of an error
 * @throws UndecodableEvent with code `unknown-event` or `newer-event`
 */
export const decodeFact = (stored: StoredFact, place: () => string): DomainEvent => {
  const reading = readings.get(stored.type)
  if (!reading)
    throw new UndecodableEvent(isNewerVersion(stored.type) ? 'newer-event' : 'unknown-event', stored.type, place())
  return { type: reading.type, data: reading.upcast(stored.data as StoredData) } as DomainEvent
}

/**
 * Reads a stored event of any version that was ever written as an event of today. Members beside type and data are kept.
 *
 * @throws UndecodableEvent with code `unknown-event` or `newer-event`
 */
export const decodeEvent = (stored: StoredEvent): RecordedEvent => {
  const { type, data } = decodeFact(stored, () => `${stored.position} (${stored.stream}@${stored.revision})`)
  return {
    type,
    data,
    id: stored.id,
    stream: stored.stream,
    revision: stored.revision,
    position: stored.position,
    metadata: stored.metadata,
    recordedAt: stored.recordedAt,
  } as RecordedEvent
}
