import type { estypes } from '@elastic/elasticsearch'
import type { Elasticsearch } from './elasticsearch-client.ts'
import { EngineUnavailable, ReadModelAbsent } from './failures.ts'

/** One way to look for candidates. */
export interface Look {
  readonly query: estypes.QueryDslQueryContainer
  readonly sort?: estypes.Sort
}

/**
 * The documents that queries find, of each look the first `candidateLimit`.
 *
 * @throws EngineUnavailable also when too many ask already, ReadModelAbsent when the index does not exist
 */
export type Candidates = <Document>(index: string, looks: readonly Look[]) => Promise<Document[][]>

/** Candidates that are ranked: the engine's best, or the newest, when there are more. */
const candidateLimit = 200

/** The parts of a request find the index behind the alias each for itself: in a swap two of them may find two. */
const mostTries = 5

/** @param most searches at once; a slow engine must not gather requests without end */
export const createCandidates = (engine: Elasticsearch, most = 64): Candidates => {
  let asking = 0

  const ask = async <Document>(index: string, searches: estypes.MsearchRequestItem[]) => {
    const { responses } = await engine.query((client, options) =>
      client.msearch<{ document: Document }>({ index, searches }, options),
    )
    return responses.map((response) => {
      if ('error' in response) {
        const { type } = response.error
        if (type === 'index_not_found_exception') throw new ReadModelAbsent(`the index ${index} does not exist yet`)
        if ((response.status ?? 500) < 500 && response.status !== 429)
          throw new Error(`Elasticsearch refuses a search: ${type}`)
        throw new EngineUnavailable('Elasticsearch', new Error(type))
      }
      return response.hits.hits
    })
  }

  return async <Document>(index: string, looks: readonly Look[]) => {
    if (asking >= most)
      throw new EngineUnavailable('Elasticsearch', new Error(`${most} searches are waiting for it already`))
    asking += 1
    try {
      const searches = looks.flatMap((look): estypes.MsearchRequestItem[] => [
        {},
        { ...look, size: candidateLimit, track_total_hits: false, _source: ['document'] },
      ])
      for (let tries = 0; tries < mostTries; tries += 1) {
        const found = await ask<Document>(index, searches)
        if (new Set(found.flat().map(({ _index }) => _index)).size <= 1)
          return found.map((hits) => hits.flatMap(({ _source }) => (_source ? [_source.document] : [])))
      }
      throw new EngineUnavailable('Elasticsearch', new Error(`${index} is another index again and again`))
    } finally {
      asking -= 1
    }
  }
}
