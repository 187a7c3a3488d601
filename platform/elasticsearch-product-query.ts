import type { estypes } from '@elastic/elasticsearch'
import type { ProductQuery } from './search-index.ts'
import type { SearchQuestion, SearchTerm } from './search-question.ts'
import { fold, typosAllowed } from './text-analysis.ts'

type Query = estypes.QueryDslQueryContainer

/** How far a search goes: all words as typed; all words, typos forgiven; any of them. */
export const depths = ['typed', 'mistyped', 'any'] as const
export type Depth = (typeof depths)[number]

/** Where a word counts for how much when there are more candidates than are ranked. */
const named = ['itself', 'compounds', 'kind^0.6', 'made_for^0.4']

/** Every text of a person is a value in here: a word that is compared, never a query that is parsed. */
const termQuery = (term: SearchTerm, depth: Depth): Query => {
  const alternatives = [term.stem, ...term.synonyms, ...term.compounds].join(' ')
  const typos = term.exact || depth === 'typed' ? 0 : typosAllowed(term.stem)
  const should: Query[] = [{ multi_match: { query: alternatives, fields: [...named, 'description^0.1'] } }]
  if (term.prefix) {
    const begins = { query: term.stem, type: 'bool_prefix' as const, fields: [...named, 'description^0.1'] }
    should.push({ multi_match: begins })
  }
  if (typos > 0) {
    const near = { query: term.stem, fields: named, fuzziness: typos, max_expansions: 60, boost: 0.5 }
    should.push({ multi_match: near })
  }
  return { dis_max: { queries: should } }
}

/** The query for candidates of a question. */
export const productQuery = (question: SearchQuestion, depth: Depth, { brand, category }: ProductQuery): Query => {
  const terms = question.terms.map((term) => termQuery(term, depth))
  const filter: Query[] = []
  if (brand !== undefined) filter.push({ term: { brand: fold(brand) } })
  if (category !== undefined) filter.push({ term: { category: fold(category) } })
  const found: Query = {
    boosting: {
      positive: depth === 'any' ? { bool: { should: terms, minimum_should_match: 1 } } : { bool: { must: terms } },
      negative: { term: { accessory: !question.wantsAccessory } },
      negative_boost: 0.4,
    },
  }
  // Whoever types the beginning of an SKU gets it, however many products have the word in their names.
  const bySku: Query = { constant_score: { filter: { prefix: { sku: question.whole } }, boost: 1_000 } }
  return { bool: { should: [found, bySku], minimum_should_match: 1, filter } }
}
