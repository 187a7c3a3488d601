import { randomUUID } from 'node:crypto'
import type { NewEvent } from '../../schemas/envelope.ts'

/** An event of no meaning, for tests of what carries events. */
export const newEvent = (data: unknown = { note: 'anything' }, type = 'test.happened.v1'): NewEvent => ({
  id: randomUUID(),
  type,
  data,
  metadata: { commandId: randomUUID(), correlationId: randomUUID(), causationId: randomUUID(), actor: 'test:nobody' },
})

export const newEvents = (count: number): NewEvent[] => Array.from({ length: count }, (_, index) => newEvent({ index }))

export const newStream = (category = 'test'): string => `${category}-${randomUUID()}`
