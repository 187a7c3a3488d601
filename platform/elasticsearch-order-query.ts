import type { estypes } from '@elastic/elasticsearch'
import type { Look } from './elasticsearch-candidates.ts'
import { type OrderPiece, statusCalled } from './order-ranking.ts'
import type { SearchTerm } from './search-question.ts'
import { typosAllowed } from './text-analysis.ts'

type Query = estypes.QueryDslQueryContainer

const anyOf = (should: Query[]): Query => ({ bool: { should, minimum_should_match: 1 } })
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const everywhere = ['ids', 'person', 'products', 'codes'] as const
/** By id or person apart, lest a product of that name crowd them out. */
const personal = ['ids', 'person'] as const
type Fields = typeof everywhere | typeof personal

const begins = (text: string, fields: Fields): Query[] => fields.map((field) => ({ prefix: { [field]: text } }))

/** Ids are never mistyped for one another; names and products are. */
const wordQuery = (term: SearchTerm, fields: Fields, forgiving: boolean): Query => {
  const should = [...begins(term.stem, fields), ...term.synonyms.flatMap((synonym) => begins(synonym, fields))]
  const typos = forgiving && !term.exact ? typosAllowed(term.stem) : 0
  if (typos > 0)
    for (const field of fields)
      if (field === 'person' || field === 'products')
        should.push({ fuzzy: { [field]: { value: term.stem, fuzziness: typos, max_expansions: 60 } } })
  return anyOf(should)
}

/** Every text of a person is a value in here: what it is compared with begins so, or is like it. */
const pieceQuery = ({ text, question }: OrderPiece, fields: Fields, forgiving: boolean): Query => {
  if (uuid.test(text)) return { term: { ids: text } }
  const words: Query[] =
    question.terms.length === 0
      ? []
      : [{ bool: { filter: question.terms.map((term) => wordQuery(term, fields, forgiving)) } }]
  return anyOf([...begins(text, fields), { term: { status: statusCalled(text) } }, ...words])
}

/** Two looks for the candidates of a question, the newest first. */
export const orderLooks = (pieces: readonly OrderPiece[], forgiving: boolean): Look[] =>
  [personal, everywhere].map((fields) => ({
    query: { bool: { filter: pieces.map((piece) => pieceQuery(piece, fields, forgiving)) } },
    sort: [{ placed_at: { order: 'desc' } }],
  }))
