import type { Database, Transaction } from './database.ts'
import { ReadModelAbsent } from './failures.ts'
import { indexedProducts, indexProducts } from './postgres-product-documents.ts'
import type { ReadModelTables } from './read-model-tables.ts'
import type { ProductDocument, ProductSearch, ScannedDocument } from './search-index.ts'
import { estimateRows, inSnapshot, pagesOf, schemaExists, someOf } from './snapshot.ts'
import { readStanding } from './standing.ts'

interface Row {
  readonly id: string
  readonly version: bigint
  readonly document: ProductDocument
}

const columns = ['sku_folded', 'brand', 'category', 'accessory', 'words'] as const

/** What of each product the table holds otherwise than the document makes it. */
const spoiledOf = async (
  transaction: Transaction,
  schema: string,
  rows: readonly Row[],
): Promise<ReadonlyMap<string, readonly string[]>> => {
  // A document that is no product any more cannot be indexed anew; that it differs is told of itself.
  const whole = rows.filter(({ document }) =>
    ['sku', 'name', 'description', 'brand', 'category'].every(
      (field) => typeof (document as unknown as Record<string, unknown> | null)?.[field] === 'string',
    ),
  )
  if (whole.length === 0) return new Map()
  const { values, vocabulary } = indexProducts(whole)
  const wrong = await transaction.query<{ sku: string; spoiled: string[] }>(
    `select d.sku, array_remove(array[${columns
      .map((column) => `case when p.${column} is distinct from d.${column} then '${column}' end`)
      .join(', ')}], null) as spoiled
     from (${indexedProducts}) d join ${schema}.products p on p.sku = d.sku`,
    values,
  )
  const missing = await transaction.query<{ word: string }>(
    `select word from unnest($1::text[]) as known(word) where not exists (
       select from ${schema}.words w where w.word = known.word)`,
    [[...new Set(vocabulary.flat())]],
  )
  const unknown = new Set(missing.map(({ word }) => word))
  const spoiled = new Map(wrong.map((row) => [row.sku, row.spoiled]))
  whole.forEach(({ document }, at) => {
    if (!vocabulary[at]?.some((word) => unknown.has(word))) return
    spoiled.set(document.sku, [...(spoiled.get(document.sku) ?? []), 'vocabulary'])
  })
  return spoiled
}

/** Every product of the table, as of one moment. */
export const createPostgresProductScan =
  (database: Database, tables: Pick<ReadModelTables, 'schema' | 'consumerOf'>): ProductSearch['scan'] =>
  (consumer, visit, pick) =>
    inSnapshot(database, async (transaction) => {
      const { schema } = tables
      if (!(await schemaExists(transaction, schema))) throw new ReadModelAbsent(`${schema} has not been built yet`)
      const standing = { ...(await readStanding(transaction, tables.consumerOf(consumer))), exact: true }
      const show = async (rows: readonly Row[]): Promise<void> => {
        const spoiled = await spoiledOf(transaction, schema, rows)
        const documents = rows.map(
          (row): ScannedDocument<ProductDocument> => ({ ...row, spoiled: spoiled.get(row.id) ?? [] }),
        )
        await visit({ ...standing, documents })
      }
      await visit({ ...standing, documents: [] })
      const table = `${schema}.products`
      const select = 'select sku as id, version, document from'
      if (!pick) for await (const rows of pagesOf<Row>(transaction, `${select} ${table}`)) await show(rows)
      else {
        const some = someOf(table, await estimateRows(transaction, table), pick.random)
        const text = `${select} ${table} where sku = any ($1::text[]) union all ${select} ${some} r`
        const rows = await transaction.query<Row>(text, [pick.ids])
        await show([...new Map(rows.map((row) => [row.id, row])).values()])
      }
    })
