import type { estypes } from '@elastic/elasticsearch'
import { type Elasticsearch, IndexMissing } from './elasticsearch-client.ts'
import { EngineUnavailable } from './failures.ts'

/** Ids per request. */
const page = 2_000

/**
 * Documents as they are now, not as last refreshed; those that do not exist are left out.
 *
 * @param source what to return of each
 * @throws EngineUnavailable, IndexMissing
 */
export const readDocuments = async <Source>(
  engine: Elasticsearch,
  index: string,
  ids: readonly string[],
  source: readonly string[],
): Promise<estypes.GetGetResult<Source>[]> => {
  const found: estypes.GetGetResult<Source>[] = []
  for (let from = 0; from < ids.length; from += page) {
    const { docs } = await engine.write((client, options) =>
      client.mget<Source>({ index, ids: ids.slice(from, from + page), _source: [...source] }, options),
    )
    for (const doc of docs) {
      if ('error' in doc) {
        const { type } = doc.error
        if (type === 'index_not_found_exception') throw new IndexMissing()
        throw new EngineUnavailable('Elasticsearch', new Error(type))
      }
      if (doc.found) found.push(doc)
    }
  }
  return found
}

/** A version as the engine returns it. */
export const versionOf = (version: number | undefined): bigint => {
  if (version === undefined) throw new Error('Elasticsearch returned a document without its version')
  return BigInt(version)
}
