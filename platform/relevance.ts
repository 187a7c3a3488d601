import type { StoredEvent } from '../schemas/envelope.ts'
import type { DomainEventType } from '../schemas/events.ts'
import { namesOf, storedNames } from '../schemas/stored-names.ts'

const stemOf = (name: string): string => name.replace(/\.v\d+$/, '')
const categoryOf = (name: string): string => name.slice(0, name.search(/[.-]|$/))

const known = new Set(namesOf(...(Object.keys(storedNames) as DomainEventType[])))
const knownStems = new Set([...known].map(stemOf))

/**
 * Whether an event concerns a consumer of these stored names. A name that this code does not know is not simply left
 * out: a newer version of an event that the consumer handles concerns it, and so does any unknown event of an aggregate
 * that it handles. What becomes of those is for the error policy to say.
 */
export interface Relevance {
  (stored: Pick<StoredEvent, 'type' | 'stream'>): boolean
  /** Whether an event of this name may concern it, in whatever stream. */
  byName(type: string): boolean
}

export const createRelevance = (types: readonly string[]): Relevance => {
  const wanted = new Set(types)
  const stems = new Set(types.map(stemOf))
  const categories = new Set(types.map(categoryOf))
  const concerns = ({ type, stream }: Pick<StoredEvent, 'type' | 'stream'>): boolean => {
    if (wanted.has(type)) return true
    if (known.has(type)) return false
    const stem = stemOf(type)
    if (knownStems.has(stem)) return stems.has(stem)
    return categories.has(categoryOf(type)) || categories.has(categoryOf(stream))
  }
  return Object.assign(concerns, {
    byName: (type: string) => concerns({ type, stream: '' }) || !(known.has(type) || knownStems.has(stemOf(type))),
  })
}
