import type { estypes } from '@elastic/elasticsearch'
import { type Elasticsearch, IndexMissing, RequestRefused } from './elasticsearch-client.ts'
import { EngineUnavailable, StartupError } from './failures.ts'

/** What an index is made of. */
export interface IndexShape {
  readonly mappings: estypes.MappingTypeMapping
}

/**
 * The alias through which one index is written. A bulk request makes an index that does not exist, without our mapping;
 * asked for an alias (`require_alias`) it refuses instead. Who still writes to an index that was replaced meanwhile never
 * reaches the one that replaced it, and without the alias nobody writes.
 */
export const writesOf = (index: string): string => `${index}-writes`

/** An index of a generation. */
export interface GenerationIndex {
  readonly name: string
  readonly generation: number
  /** A generation that is emptied gets another index: `-g1`, `-g1-2`, `-g1-3`. */
  readonly life: number
  readonly served: boolean
  readonly writable: boolean
}

/** The indices behind one alias: `<alias>-g1` and `<alias>-g2` are generations, one of them served through the alias. */
export interface Indices {
  look(): Promise<readonly GenerationIndex[]>
  /**
   * Makes an empty index of a generation, in a life of its own, to be written.
   *
   * @param loading no search sees what is written until `loaded`
   * @returns its name
   */
  create(generation: number, options: { readonly loading: boolean }): Promise<string>
  /** Serves an index, which is written from now on, and no other; those that are to be gone go in the same step. */
  serve(index: string, gone?: readonly string[]): Promise<void>
  /** Lets it be written. */
  open(index: string): Promise<void>
  /** Lets nobody write it. */
  close(index: string): Promise<void>
  /** Whether what is written is seen only after `loaded`. */
  isLoading(index: string): Promise<boolean>
  /** Makes all that was written visible to searches, as what is written from now on. */
  loaded(index: string): Promise<void>
  remove(indices: readonly string[]): Promise<void>
}

/**
 * One primary shard: what a refresh makes visible is then all that was written before it, and 2^31 documents are more
 * orders than a shop takes. Replicas follow the number of nodes.
 */
const settings = { number_of_shards: 1, auto_expand_replicas: '0-1' }

/** The newest index of a generation. */
export const newestOf = (indices: readonly GenerationIndex[], generation: number): GenerationIndex | undefined =>
  indices.filter((index) => index.generation === generation).sort((a, b) => b.life - a.life)[0]

/** The index that is served. @throws StartupError when there are several */
export const servedOf = (indices: readonly GenerationIndex[]): GenerationIndex | undefined => {
  const served = indices.filter((index) => index.served)
  if (served.length > 1)
    throw new StartupError(
      `An alias of Elasticsearch stands for several indices (${served.map(({ name }) => name).join(', ')}); it must be one.`,
    )
  return served[0]
}

/** Of a generation: the index that is served, or the newest. One that was made and never served may lie beside it. */
export const indexOf = (indices: readonly GenerationIndex[], generation: number): GenerationIndex | undefined => {
  const served = servedOf(indices)
  return served?.generation === generation ? served : newestOf(indices, generation)
}

/** @param alias `orderlog-orders-v1` */
export const createIndices = (engine: Elasticsearch, alias: string, shape: IndexShape): Indices => {
  const numbered = new RegExp(`^${alias.replace(/[.]/g, '\\.')}-g(\\d+)(?:-(\\d+))?$`)

  const look: Indices['look'] = async () => {
    const found = await engine.write((client, options) =>
      client.indices.get({ index: `${alias}-g*`, features: 'aliases', allow_no_indices: true }, options),
    )
    return Object.entries(found).flatMap(([name, { aliases }]) => {
      const [, generation, life = '1'] = numbered.exec(name) ?? []
      if (generation === undefined) return []
      return {
        ...{ name, generation: Number(generation), life: Number(life) },
        served: aliases?.[alias] !== undefined,
        writable: aliases?.[writesOf(name)] !== undefined,
      }
    })
  }

  const change = async (actions: estypes.IndicesUpdateAliasesAction[]): Promise<void> => {
    const { acknowledged } = await engine.write((client, options) => client.indices.updateAliases({ actions }, options))
    // A node that has not heard of it would still write to the old one, or ask it.
    if (!acknowledged) throw new EngineUnavailable('Elasticsearch', new Error('not all nodes know the new aliases yet'))
  }

  return {
    look,
    create: async (generation, { loading }) => {
      const life = (newestOf(await look(), generation)?.life ?? 0) + 1
      const index = `${alias}-g${generation}${life === 1 ? '' : `-${life}`}`
      const all = loading ? { ...settings, refresh_interval: '-1' } : settings
      try {
        await engine.write((client, options) =>
          client.indices.create(
            { index, aliases: { [writesOf(index)]: {} }, settings: all, mappings: shape.mappings },
            options,
          ),
        )
        return index
      } catch (error) {
        if (!(error instanceof RequestRefused)) throw error
        throw new StartupError(`Elasticsearch refuses to create the index ${index}: ${error.type} (${error.status}).`)
      }
    },
    serve: async (index, gone = []) => {
      const others = (await look()).filter(
        (other) => other.served && other.name !== index && !gone.includes(other.name),
      )
      try {
        await change([
          ...others.map((other) => ({ remove: { index: other.name, alias } })),
          ...gone.map((old) => ({ remove_index: { index: old } })),
          { add: { index, alias } },
          { add: { index, alias: writesOf(index) } },
        ])
      } catch (error) {
        if (error instanceof RequestRefused && error.type === 'invalid_alias_name_exception')
          throw new StartupError(
            `Elasticsearch has an index named ${alias}, where Orderlog needs that name for an alias.`,
          )
        throw error
      }
    },
    open: (index) => change([{ add: { index, alias: writesOf(index) } }]),
    close: (index) => change([{ remove: { index, alias: writesOf(index), must_exist: false } }]),
    isLoading: async (index) => {
      const found = await engine.write((client, options) =>
        client.indices.getSettings({ index, name: 'index.refresh_interval', flat_settings: true }, options),
      )
      const flat = found[index]?.settings as Record<string, unknown> | undefined
      return flat?.['index.refresh_interval'] === '-1'
    },
    loaded: async (index) => {
      await engine.write((client, options) =>
        client.indices.putSettings({ index, settings: { 'index.refresh_interval': null } }, options),
      )
      await engine.write((client, options) => client.indices.refresh({ index }, options))
    },
    remove: async (indices) => {
      if (indices.length === 0) return
      await engine
        .write((client, options) => client.indices.delete({ index: [...indices], ignore_unavailable: true }, options))
        .catch((error: unknown) => {
          if (!(error instanceof IndexMissing)) throw error
        })
    },
  }
}
