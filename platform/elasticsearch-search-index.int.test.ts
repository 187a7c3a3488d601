import { describe } from 'vitest'
import { elasticsearchUrl, openTestSearchIndex, skippedWithoutElasticsearch } from '../test/support/elasticsearch.ts'
import { describeSearchIndex } from './search-index.contract.ts'

describe.skipIf(!elasticsearchUrl)(`on a real Elasticsearch (${skippedWithoutElasticsearch})`, () => {
  describeSearchIndex('elasticsearch', openTestSearchIndex)
})
