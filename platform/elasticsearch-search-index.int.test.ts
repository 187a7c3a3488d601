import { describe } from 'vitest'
import { elasticsearchUrl, openTestSearchIndex, skippedWithoutElasticsearch } from '../test/support/elasticsearch.ts'
import { describeSearchGenerations } from './search-generations.contract.ts'
import { describeSearchIndex } from './search-index.contract.ts'

describe.skipIf(!elasticsearchUrl)(`on a real Elasticsearch (${skippedWithoutElasticsearch})`, () => {
  describeSearchIndex('elasticsearch', () => openTestSearchIndex())

  describeSearchGenerations('elasticsearch', async () => {
    const { database, index, through, close } = await openTestSearchIndex()
    const opened: (() => Promise<void>)[] = []
    return {
      database,
      index,
      other: () => {
        const { engine, index: seen } = through(elasticsearchUrl)
        opened.push(engine.close)
        return { index: seen, lose: () => void engine.close() }
      },
      checkpoints: (of, name) => index[of].checkpoints(name),
      readers: index,
      close: async () => {
        for (const end of opened) await end()
        await close()
      },
    }
  })
})
