import { randomUUID } from 'node:crypto'
import type { Database } from '../../platform/database.ts'
import { type Elasticsearch, openElasticsearch, type Patience } from '../../platform/elasticsearch-client.ts'
import { createElasticsearchSearchIndex } from '../../platform/elasticsearch-search-index.ts'
import { silentLogger as logger } from '../../platform/logging.ts'
import { openTestDatabase } from './postgres.ts'

export const elasticsearchUrl = process.env.ORDERLOG_TEST_ELASTICSEARCH_URL ?? ''
/** Why a suite is left out, in its name. */
export const skippedWithoutElasticsearch = 'skipped when ORDERLOG_TEST_ELASTICSEARCH_URL is unset'

/** Names of the indices that begin with a prefix. */
export const indicesOf = async (engine: Elasticsearch, prefix: string): Promise<string[]> =>
  Object.keys(
    await engine.query((client, options) =>
      client.indices.get({ index: `${prefix}*`, features: 'aliases', expand_wildcards: 'all' }, options),
    ),
  ).sort()

export const deleteIndices = async (engine: Elasticsearch, prefix: string): Promise<void> => {
  const index = await indicesOf(engine, prefix)
  if (index.length > 0) await engine.write((client, options) => client.indices.delete({ index }, options))
}

/**
 * A search index of its own on the test server, and a database for its book-keeping.
 *
 * @param shared the database; default: one of its own
 */
export const openTestSearchIndex = async (shared?: Database) => {
  const { database, drop } = shared ? { database: shared, drop: async () => undefined } : await openTestDatabase()
  const engine = openElasticsearch({ url: elasticsearchUrl })
  const prefix = `test-${randomUUID()}`
  return {
    database,
    engine,
    prefix,
    index: createElasticsearchSearchIndex({ engine, database, logger, prefix }),
    /** The same index through other connections: another process, as far as it can tell. */
    through: (url: string, patience: Partial<Patience> = {}) => {
      const other = openElasticsearch({ url }, patience)
      return { engine: other, index: createElasticsearchSearchIndex({ engine: other, database, logger, prefix }) }
    },
    close: async () => {
      await deleteIndices(engine, prefix)
      await engine.close()
      await drop()
    },
  }
}

export type TestSearchIndex = Awaited<ReturnType<typeof openTestSearchIndex>>
