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

/** @param most searches at once; a slow engine must not gather requests without end */
export const createCandidates = (engine: Elasticsearch, most = 64): Candidates => {
  let asking = 0
  return async <Document>(index: string, looks: readonly Look[]) => {
    if (asking >= most)
      throw new EngineUnavailable('Elasticsearch', new Error(`${most} searches are waiting for it already`))
    asking += 1
    try {
      const searches = looks.flatMap((look): estypes.MsearchRequestItem[] => [
        {},
        { ...look, size: candidateLimit, track_total_hits: false, _source: ['document'] },
      ])
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
        return response.hits.hits.flatMap(({ _source }) => (_source ? [_source.document] : []))
      })
    } finally {
      asking -= 1
    }
  }
}
