import type { GenerationsReader } from './checkpointed-store.ts'
import { type Connections, type Opening, type Pair, unlessAway } from './compose-opening.ts'
import type { Database } from './database.ts'
import { createPostgresSearchIndex } from './postgres-search-index.ts'
import type { SearchIndex } from './search-index.ts'

export type Search = Pair<SearchIndex, { readonly products: GenerationsReader; readonly orders: GenerationsReader }>

/** Search on the engine that the configuration chose. */
export const openSearchIndex = async (
  { config, logger, lifecycle }: Opening,
  { database, queries, rebuilding }: Connections,
): Promise<Search> => {
  switch (config.search.kind) {
    case 'postgres': {
      const schemas = { products: 'product_search', orders: 'order_search' }
      const on = (connections: Database) => createPostgresSearchIndex({ database: connections, schemas })
      return { writing: on(database), asking: on(queries), building: on(rebuilding) }
    }
    case 'elasticsearch': {
      const { hostOf, openElasticsearch } = await import('./elasticsearch-client.ts')
      const { checkElasticsearch, elasticsearchHealth } = await import('./elasticsearch-health.ts')
      const { createElasticsearchLogTrail } = await import('./elasticsearch-log-trail.ts')
      const { createElasticsearchSearchIndex } = await import('./elasticsearch-search-index.ts')
      const { search, namespace: prefix } = config
      const connect = () => {
        const engine = openElasticsearch(search)
        lifecycle.onStop('the connections to Elasticsearch', engine.close, { group: 'engines' })
        return engine
      }
      const [writer, asker] = [connect(), connect()]
      const engine = { name: 'Elasticsearch', variable: 'ELASTICSEARCH_URL', host: hostOf(search.url) }
      await unlessAway(engine, () => checkElasticsearch(writer, search.url), { without: 'searches', logger })
      const asking = createElasticsearchSearchIndex({ engine: asker, database: queries, logger, prefix })
      const writing = () => createElasticsearchSearchIndex({ engine: writer, database, logger, prefix })
      return {
        writing: writing(),
        asking,
        building: writing(),
        checkpoints: asking,
        trail: createElasticsearchLogTrail(writer, prefix),
        check: elasticsearchHealth(asker),
      }
    }
  }
}
