import type { StoreBatch } from '../platform/checkpointed-store.ts'
import type { ScannedDocument, SearchCollection, Versioned } from '../platform/search-index.ts'
import type { Standing } from '../platform/standing.ts'
import type { RowModel } from './verify-model.ts'
import type { PersonCheck } from './verify-persons.ts'
import { type FoundRow, foldEvents, type RowSource } from './verify-run.ts'

/** The documents of a search index, as rows. */
export const createDocumentSource = <Document extends object>(deps: {
  readonly collection: Pick<SearchCollection<Document, StoreBatch, unknown>, 'scan' | 'amend'>
  readonly consumer: string
  readonly model: RowModel
  readonly persons: PersonCheck
}): RowSource => {
  const { collection, consumer, model, persons } = deps
  const toFound = ({ id, version, document, spoiled }: ScannedDocument<Document>): FoundRow => ({
    key: id,
    position: version,
    fields: { ...document, version },
    spoiled,
  })

  const rightDocument = async (events: Parameters<typeof foldEvents>[1]): Promise<Versioned<Document> | undefined> => {
    const row = foldEvents(model, events)
    if (!row) return undefined
    const { version, ...fields } = row.fields
    const [person = null] = row.sealed ? await persons.open([row.sealed]) : []
    const personal = row.sealed && model.personal ? model.personal.of(person, row.sealed) : {}
    return { version: version as bigint, document: { ...fields, ...personal } as unknown as Document }
  }

  return {
    standing: async () => {
      let standing: Standing = { checkpoints: [], skipped: [] }
      await collection.scan(
        consumer,
        async ({ checkpoints, skipped }) => {
          standing = { checkpoints, skipped }
        },
        { ids: [], random: 0 },
      )
      return standing
    },
    scan: (visit, pick) =>
      collection.scan(
        consumer,
        ({ documents, ...portion }) => visit({ ...portion, rows: documents.map(toFound) }),
        pick,
      ),
    look: async (key) => {
      let found: FoundRow | undefined
      await collection.scan(
        consumer,
        async ({ documents }) => {
          const [document] = documents
          if (document) found = toFound(document)
        },
        { ids: [key], random: 0 },
      )
      return found
    },
    repair: async (keys, fold) => {
      for (let from = 0; from < keys.length; from += 100) {
        const some = keys.slice(from, from + 100)
        await collection.amend(consumer, some, async (standing) => {
          const documents = await Promise.all(some.map(async (key) => rightDocument(await fold(key, standing))))
          return documents.flatMap((document) => document ?? [])
        })
      }
    },
  }
}
