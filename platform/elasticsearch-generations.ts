import type { estypes } from '@elastic/elasticsearch'
import { type Elasticsearch, IndexMissing, RequestRefused } from './elasticsearch-client.ts'
import { StartupError } from './failures.ts'

/** What an index is made of. */
export interface IndexShape {
  readonly mappings: estypes.MappingTypeMapping
}

/**
 * The alias through which one generation is written. A bulk request makes an index that does not exist, without our
 * mapping; asked for an alias (`require_alias`) it refuses instead. And who still writes to a generation that was
 * replaced meanwhile never reaches the one that replaced it.
 */
export const writesOf = (index: string): string => `${index}-writes`

/** The generations of one index: `<alias>-g1`, `<alias>-g2`, one of them served through the alias. */
export interface Generations {
  /**
   * Makes a generation if none is served.
   *
   * @param making wraps the making, which is false when somebody else has made one meanwhile
   * @returns the index that is served
   */
  ensure(making?: (make: () => Promise<boolean>) => Promise<boolean>): Promise<string>
  /** The index that is served, if any. */
  served(): Promise<string | undefined>
  /** Puts an empty generation in the place of the one that is served, which is deleted, in one step. @returns it */
  replace(): Promise<string>
}

/** Others do the same at the same time; each try that fails means that one of them got further. */
const mostTries = 20

/**
 * One primary shard: what a refresh makes visible is then all that was written before it, and 2^31 documents are more
 * orders than a shop takes. Replicas follow the number of nodes.
 */
const settings = { number_of_shards: 1, auto_expand_replicas: '0-1' }

export const createGenerations = (engine: Elasticsearch, alias: string, shape: IndexShape): Generations => {
  const numbered = new RegExp(`^${alias.replace(/[.]/g, '\\.')}-g(\\d+)$`)
  const numberOf = (index: string): number => Number(numbered.exec(index)?.[1] ?? 0)

  /** Read in one go: of two looks at the cluster the second could contradict the first. */
  const look = async (): Promise<{ served: string[]; next: string }> => {
    const indices = await engine.write((client, options) =>
      client.indices.get({ index: `${alias}-g*`, features: 'aliases', allow_no_indices: true }, options),
    )
    const names = Object.keys(indices).filter((name) => numbered.test(name))
    return {
      served: names.filter((name) => indices[name]?.aliases?.[alias] !== undefined),
      next: `${alias}-g${Math.max(0, ...names.map(numberOf)) + 1}`,
    }
  }

  /** False when somebody else has made it. */
  const create = async (index: string, serve: boolean): Promise<boolean> => {
    const aliases = { [writesOf(index)]: {}, ...(serve ? { [alias]: {} } : {}) }
    try {
      await engine.write((client, options) =>
        client.indices.create({ index, aliases, settings, mappings: shape.mappings }, options),
      )
      return true
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error
      if (error.type === 'resource_already_exists_exception') return false
      if (error.type === 'invalid_alias_name_exception')
        throw new StartupError(
          `Elasticsearch has an index named ${alias}, where Orderlog needs that name for an alias.`,
        )
      throw new StartupError(`Elasticsearch refuses to create the index ${index}: ${error.type} (${error.status}).`)
    }
  }

  const swap = async (before: readonly string[], index: string): Promise<boolean> => {
    const actions: estypes.IndicesUpdateAliasesAction[] = [
      ...before.map((old) => ({ remove_index: { index: old } })),
      { add: { index, alias } },
    ]
    try {
      await engine.write((client, options) => client.indices.updateAliases({ actions }, options))
      return true
    } catch (error) {
      await engine.write((client, options) => client.indices.delete({ index, ignore_unavailable: true }, options))
      if (error instanceof IndexMissing || error instanceof RequestRefused) return false
      throw error
    }
  }

  const persist = async <T>(attempt: () => Promise<T | undefined>): Promise<T> => {
    for (let tries = 0; tries < mostTries; tries += 1) {
      const result = await attempt()
      if (result !== undefined) return result
    }
    throw new Error(`the generations of ${alias} change again and again under our hands`)
  }

  const only = ({ served }: { readonly served: readonly string[] }): string | undefined => {
    if (served.length > 1)
      throw new StartupError(`The alias ${alias} stands for several indices (${served.join(', ')}); it must be one.`)
    return served[0]
  }

  return {
    served: async () => only(await look()),
    ensure: (making = (make) => make()) =>
      persist(async () => {
        const found = await look()
        const served = only(found)
        if (served !== undefined) return served
        return (await making(() => create(found.next, true))) ? found.next : undefined
      }),
    replace: () =>
      persist(async () => {
        const { served, next } = await look()
        if (!(await create(next, false))) return undefined
        return (await swap(served, next)) ? next : undefined
      }),
  }
}
