import type { Versioned } from '../platform/search-index.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'

/**
 * Folds events of many streams into the documents that an index holds of them: loaded at once, each folded in order,
 * and those that changed returned with the position of their last event. Events that a document has already seen are
 * left out.
 */
export const foldDocuments = async <Document, Event extends RecordedEvent>(
  index: { load(ids: readonly string[]): Promise<ReadonlyMap<string, Versioned<Document>>> },
  events: readonly Event[],
  idOf: (event: Event) => string,
  evolve: (document: Document | undefined, event: Event) => Document,
): Promise<Versioned<Document>[]> => {
  if (events.length === 0) return []
  const known = await index.load([...new Set(events.map(idOf))])
  const folded = new Map<string, Versioned<Document>>()
  for (const event of events) {
    const id = idOf(event)
    const before = folded.get(id) ?? known.get(id)
    if (before && before.version >= event.position) continue
    folded.set(id, { version: event.position, document: evolve(before?.document, event) })
  }
  return [...folded.values()]
}
