import { placeCheckpoints } from './elasticsearch-checkpoints.ts'
import type { Elasticsearch } from './elasticsearch-client.ts'
import {
  type GenerationIndex,
  type Indices,
  indexOf,
  newestOf,
  servedOf,
  writesOf,
} from './elasticsearch-generations.ts'
import type { GenerationEngine } from './engine-generations.ts'
import { EngineUnavailable } from './failures.ts'

/**
 * How Elasticsearch takes part in a swap: the alias leads who asks, and who writes needs the alias for writing. A request
 * that is under way when that alias goes may still be done; it does nothing that the end of the log, read afterwards, does
 * not have.
 */
export const createElasticsearchGenerationEngine = (deps: {
  readonly engine: Elasticsearch
  readonly indices: Indices
  /** The projection. */
  readonly name: string
}): GenerationEngine => {
  const { engine, indices, name } = deps

  /** The index of a generation that was built or was live. */
  const built = async (generation: number): Promise<GenerationIndex> => {
    const index = newestOf(await indices.look(), generation)
    if (!index) throw new EngineUnavailable('Elasticsearch', new Error(`there is no index of generation ${generation}`))
    return index
  }

  return {
    isSettled: async (generation) => {
      const served = servedOf(await indices.look())
      return served?.generation === generation && served.writable
    },
    settle: async (generation) => {
      const index = indexOf(await indices.look(), generation)
      // Lost: it is made anew by who writes it.
      if (index && !(index.served && index.writable)) await indices.serve(index.name)
    },
    check: async (generation) => {
      const { name: index, writable } = await built(generation)
      if (!writable) await indices.open(index)
      await indices.loaded(index)
    },
    hold: async (generation) => {
      const served = servedOf(await indices.look())
      if (served?.generation === generation) await indices.close(served.name)
    },
    place: async ({ from, to, partitions, logIdentity }, position) => {
      const { name: index } = await built(to)
      if (position !== undefined) {
        const former = servedOf(await indices.look())
        await placeCheckpoints(engine, writesOf(index), {
          ...{ consumer: name, partitions, position, logIdentity },
          former: former?.generation === from ? former.name : undefined,
        })
      }
      await engine.write((client, options) => client.indices.refresh({ index }, options))
    },
    remove: async (generation) => {
      const lives = (await indices.look()).filter((index) => index.generation === generation)
      await indices.remove(lives.map((index) => index.name))
    },
  }
}
