import { type Elasticsearch, IndexMissing } from './elasticsearch-client.ts'
import { createIndices } from './elasticsearch-generations.ts'
import { orderShape } from './elasticsearch-order-documents.ts'
import { eraseKeys } from './elasticsearch-order-erasures.ts'

/**
 * The alias through which persons are taken out of an index, whoever may write it otherwise: without `writesOf` nobody
 * moves a checkpoint in it, and it must stay so. It goes with the index.
 */
const erasesOf = (index: string): string => `${index}-erases`

/** Takes persons out of every index of the orders: served, built or kept. @throws EngineUnavailable */
export const eraseInEveryIndex = async (
  engine: Elasticsearch,
  alias: string,
  keyIds: readonly string[],
): Promise<void> => {
  if (keyIds.length === 0) return
  for (const { name } of await createIndices(engine, alias, orderShape).look())
    try {
      await engine.write((client, options) => client.indices.putAlias({ index: name, name: erasesOf(name) }, options))
      await eraseKeys(engine, erasesOf(name), keyIds)
    } catch (error) {
      // Dropped meanwhile, with all persons in it.
      if (!(error instanceof IndexMissing)) throw error
    }
}
