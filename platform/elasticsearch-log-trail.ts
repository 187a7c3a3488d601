import { type Elasticsearch, IndexMissing, RequestRefused } from './elasticsearch-client.ts'
import { fromTrailJson, type LogTrail, toTrailJson } from './log-trail.ts'

const id = 'trail'

/** The trail beside the search indices in Elasticsearch: the one document of an index of its own. */
export const createElasticsearchLogTrail = (engine: Elasticsearch, prefix: string): LogTrail => {
  const index = `${prefix}-log-trail`
  let made = false

  const create = async (): Promise<void> => {
    const settings = { number_of_shards: 1, auto_expand_replicas: '0-1' }
    try {
      await engine.write((client, options) =>
        client.indices.create({ index, settings, mappings: { enabled: false } }, options),
      )
    } catch (error) {
      // Another process was first.
      if (!(error instanceof RequestRefused && error.type === 'resource_already_exists_exception')) throw error
    }
  }

  return {
    read: async () => {
      try {
        const found = await engine.query((client, options) =>
          client.get<{ trail: string }>({ index, id }, { ...options, ignore: [404] }),
        )
        return found._source && fromTrailJson(found._source.trail)
      } catch (error) {
        if (error instanceof IndexMissing) return undefined
        throw error
      }
    },
    write: async (trail) => {
      // A write makes an index that does not exist, too, but not where the cluster forbids that.
      if (!made) await create()
      made = true
      await engine.write((client, options) =>
        client.index({ index, id, document: { trail: toTrailJson(trail) } }, options),
      )
    },
  }
}
