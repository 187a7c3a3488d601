import type { Buildable } from './checkpointed-store.ts'
import { moveCheckpoint } from './checkpoints.ts'
import type { Database, Queryable } from './database.ts'
import { upsertProducts } from './postgres-product-documents.ts'
import { createPostgresProductScan } from './postgres-product-scan.ts'
import { amendSearch } from './postgres-search-amend.ts'
import { createTrigramExtension } from './postgres-trigrams.ts'
import { rankProducts } from './product-ranking.ts'
import { createReadModelGenerations } from './read-model-generations.ts'
import { createReadModelTables } from './read-model-tables.ts'
import { onceAs, splitDdl, sqlBeside } from './schema-sql.ts'
import type { ProductDocument, ProductQuery, ProductSearch } from './search-index.ts'
import { answers, answersMistyped, parseQuestion, type SearchQuestion, type SearchTerm } from './search-question.ts'
import { fold, swapsOf, typosAllowed } from './text-analysis.ts'

/** Candidates that are ranked; the best by words and weights when there are more. */
const candidateLimit = 200

/** One word of the vocabulary per row: what begins with $1, resembles one of $2 or is one of $3. */
const vocabularySql = (schema: string) => `
  with ${onceAs('words', `${schema}.words`)}
  (select word from words where word >= $1 and word < $1 || chr(1114111) and $1 <> '' order by word limit 40)
  union
  select near.word from unnest($2::text[]) asked(stem) cross join lateral (
    select word from words where word % asked.stem order by similarity(word, asked.stem) desc, word limit 20
  ) near
  union
  select word from words where word = any ($3::text[])`

/** Builds a tsquery out of calls with parameters: text of a user is never parsed as a query. */
const tsquery = (alternatives: readonly (readonly string[])[], operator: '&&' | '||', values: unknown[]): string => {
  const word = (text: string) => `plainto_tsquery('simple', $${values.push(text)})`
  return alternatives.map((words) => `(${words.map(word).join(' || ')})`).join(` ${operator} `)
}

/** The words of the vocabulary that may stand for each term. */
const vocabularyFor = async (
  database: Queryable,
  schema: string,
  { terms }: SearchQuestion,
): Promise<readonly string[]> => {
  const loose = terms.filter((term) => !term.exact)
  const mistypable = loose.map((term) => term.stem).filter((stem) => typosAllowed(stem) > 0)
  const words = await database.query<{ word: string }>(vocabularySql(schema), [
    loose.find((term) => term.prefix)?.stem ?? '',
    mistypable,
    [...loose.flatMap((term) => [term.stem, ...term.synonyms, ...term.compounds]), ...mistypable.flatMap(swapsOf)],
  ])
  return words.map((row) => row.word)
}

/** What to look for in the place of a term; typos only when it is found in no other way, or when all else has failed. */
const wordsFor = (term: SearchTerm, vocabulary: readonly string[], forgiving: boolean): readonly string[] => {
  const typed = vocabulary.filter((word) => answers(term, word) > 0)
  const meant = forgiving || typed.length === 0 ? vocabulary.filter((word) => answersMistyped(term, word) > 0) : []
  return [...new Set([term.stem, ...term.synonyms, ...typed, ...meant])].slice(0, 60)
}

/** Product search over a tsvector per product and a vocabulary with trigrams. */
export const createPostgresProductSearch = (
  database: Database,
  name: string,
  generation?: number,
): ProductSearch & Buildable => {
  const ddl = (schema: string) => splitDdl(sqlBeside(import.meta.url, 'postgres-product-search.sql', schema))
  const tables = createReadModelTables({
    database,
    name,
    generation,
    create: async (transaction, schema) => {
      await createTrigramExtension(transaction)
      await transaction.query(ddl(schema).tables)
    },
    indexes: (schema) => ddl(schema).indexes,
  })
  const { schema } = tables

  const candidates = async (
    question: SearchQuestion,
    words: readonly (readonly string[])[],
    query: ProductQuery,
    operator: '&&' | '||',
  ): Promise<ProductDocument[]> => {
    const values: unknown[] = [
      question.whole,
      query.brand === undefined ? null : fold(query.brand),
      query.category === undefined ? null : fold(query.category),
      question.wantsAccessory,
    ]
    const wanted = '($2::text is null or brand = $2) and ($3::text is null or category = $3)'
    const rows = await database.query<{ document: ProductDocument }>(
      `with asked as materialized (select ${tsquery(words, operator, values)} as q),
         ${onceAs('products', `${schema}.products`)}
       (select document from products
        where sku_folded >= $1 and sku_folded < $1 || chr(1114111) and ${wanted} order by sku_folded limit 20)
       union all
       (select document from products, asked where words @@ q and ${wanted}
        order by ts_rank('{0.1, 0.4, 0.6, 1.0}', words, q) * case when accessory = $4 then 1 else 0.4 end desc,
          length(words), sku limit ${candidateLimit})`,
      values,
    )
    return [...new Map(rows.map(({ document }) => [document.sku, document])).values()]
  }

  return {
    ...tables,
    generations: createReadModelGenerations(database, name, (at) => createPostgresProductSearch(database, name, at)),
    load: async (skus) => {
      const rows = await database.query<{ version: bigint; document: ProductDocument }>(
        `select version, document from ${schema}.products where sku = any ($1::text[])`,
        [skus],
      )
      return new Map(rows.map((row) => [row.document.sku, row]))
    },
    applyBatch: async (batch) => {
      const move = { ...batch, consumer: tables.consumerOf(batch.consumer) }
      if (batch.upserts.length === 0 && !batch.record)
        return (await moveCheckpoint(database, move, tables.of())) ? 'applied' : 'fenced'
      return database.transaction(async (transaction) => {
        if (!(await moveCheckpoint(transaction, move, tables.of()))) return 'fenced'
        await batch.record?.(transaction)
        if (batch.upserts.length > 0) await upsertProducts(transaction, schema, batch.upserts)
        return 'applied'
      })
    },
    scan: createPostgresProductScan(database, tables),
    amend: (consumer, skus, documents) =>
      amendSearch(database, tables.consumerOf(consumer), documents, async (transaction, found) => {
        await transaction.query(`delete from ${schema}.products where sku = any ($1::text[])`, [skus])
        await upsertProducts(transaction, schema, found)
      }),
    search: async (query) => {
      const question = parseQuestion(query.q)
      if (question.terms.length === 0) return []
      const vocabulary = await vocabularyFor(database, schema, question)
      for (const forgiving of [false, true]) {
        const words = question.terms.map((term) => wordsFor(term, vocabulary, forgiving))
        const documents = await candidates(question, words, query, forgiving ? '||' : '&&')
        const hits = rankProducts(question, documents, query.limit)
        if (hits.length > 0) return hits
      }
      return []
    },
  }
}
