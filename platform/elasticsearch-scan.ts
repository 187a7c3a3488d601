import type { estypes } from '@elastic/elasticsearch'
import type { Database } from './database.ts'
import { readPlaces } from './elasticsearch-checkpoints.ts'
import { type Elasticsearch, IndexMissing, RequestRefused } from './elasticsearch-client.ts'
import { versionOf } from './elasticsearch-reads.ts'
import { ReadModelAbsent } from './failures.ts'
import type { DocumentPick, DocumentPortion, ScannedDocument } from './search-index.ts'
import { ReadModelReplaced, readSkipped, type Standing } from './standing.ts'

/** Documents of one answer. */
const page = 500
/** Between two answers at most: who visits them reads the log meanwhile. */
const keepAlive = '10m'

type Indexed<Document> = Readonly<Record<string, unknown>> & { readonly document?: Document }

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a ?? null) === JSON.stringify(b ?? null)

const spoiledFields = <Document>(
  source: Indexed<Document>,
  indexed: () => Readonly<Record<string, unknown>>,
): string[] => {
  let expected: Readonly<Record<string, unknown>>
  try {
    expected = indexed()
  } catch (error) {
    // A document that is none of ours any more cannot be indexed anew; that it differs is told of itself.
    if (error instanceof TypeError) return []
    throw error
  }
  return [...new Set([...Object.keys(source), ...Object.keys(expected)])].filter(
    (field) => field !== 'document' && !same(source[field], expected[field]),
  )
}

/** Where a consumer stands, read before the documents: all that it had written up to there is then among them. */
export const standingOf = async (
  engine: Elasticsearch,
  database: Database,
  index: string,
  consumer: string,
  parkedUnder: string,
): Promise<Standing> => {
  const places = await readPlaces(engine, index, consumer)
  return {
    checkpoints: places.map(({ partition, position }) => ({ partition, position: BigInt(position) })),
    skipped: await readSkipped(database, parkedUnder),
  }
}

/**
 * The documents of an index as a point in time holds them, each in the version that it had then.
 *
 * @param deps.indexed what the index should hold of a document
 */
export const createElasticsearchScan = <Document>(deps: {
  readonly engine: Elasticsearch
  readonly database: Database
  /** The alias or index to read from. */
  readonly target: () => Promise<string>
  /** Under which name a consumer's events are parked. */
  readonly parkedUnder: (consumer: string) => string
  readonly indexed: (document: Document) => Readonly<Record<string, unknown>>
}) => {
  const { engine, database, target, parkedUnder, indexed } = deps

  const scannedOf = ({ _id, _version, _source }: estypes.SearchHit<Indexed<Document>>): ScannedDocument<Document>[] => {
    const document = _source?.document
    // Checkpoints and marks of destroyed keys are documents too.
    if (_id === undefined || !_source || document === undefined) return []
    const spoiled = spoiledFields(_source, () => indexed(document))
    return [{ id: _id, version: versionOf(_version), document, spoiled }]
  }

  const look = async (request: estypes.SearchRequest): Promise<estypes.SearchHit<Indexed<Document>>[]> => {
    const { hits } = await engine.write((client, options) =>
      client.search<Indexed<Document>>(
        { size: page, version: true, track_total_hits: false, allow_partial_search_results: false, ...request },
        options,
      ),
    )
    return hits.hits
  }

  const all = async (id: string, show: (documents: ScannedDocument<Document>[]) => Promise<void>): Promise<void> => {
    let after: estypes.SortResults | undefined
    for (;;) {
      const hits = await look({
        pit: { id, keep_alive: keepAlive },
        sort: [{ _shard_doc: 'asc' }],
        ...(after ? { search_after: after } : {}),
      })
      if (hits.length > 0) await show(hits.flatMap(scannedOf))
      after = hits.at(-1)?.sort
      if (hits.length < page || !after) return
    }
  }

  const picked = async (id: string, { ids, random }: DocumentPick): Promise<ScannedDocument<Document>[]> => {
    const pit = { id, keep_alive: keepAlive }
    const found: ScannedDocument<Document>[] = []
    for (let from = 0; from < ids.length; from += page)
      found.push(...(await look({ pit, query: { ids: { values: ids.slice(from, from + page) } } })).flatMap(scannedOf))
    if (random > 0) {
      const query = { function_score: { query: { match_all: {} }, random_score: {} } }
      found.push(...(await look({ pit, query, size: Math.min(random, 10_000) })).flatMap(scannedOf))
    }
    return [...new Map(found.map((document) => [document.id, document])).values()]
  }

  return async (
    consumer: string,
    visit: (portion: DocumentPortion<Document>) => Promise<void>,
    pick?: DocumentPick,
  ): Promise<void> => {
    let id: string
    try {
      const index = await target()
      const standing = {
        ...(await standingOf(engine, database, index, consumer, parkedUnder(consumer))),
        exact: false,
      }
      await engine.write((client, options) => client.indices.refresh({ index }, options))
      ;({ id } = await engine.write((client, options) =>
        client.openPointInTime({ index, keep_alive: keepAlive }, options),
      ))
      try {
        await visit({ ...standing, documents: [] })
        if (pick) await visit({ ...standing, documents: await picked(id, pick) })
        else await all(id, (documents) => visit({ ...standing, documents }))
      } finally {
        await engine.write((client, options) => client.closePointInTime({ id }, { ...options, ignore: [404] }))
      }
    } catch (error) {
      if (error instanceof IndexMissing) throw new ReadModelAbsent(`${consumer} has not been built yet`)
      // The point in time went with its index.
      if (error instanceof RequestRefused && error.status === 404) throw new ReadModelReplaced(consumer)
      throw error
    }
  }
}
