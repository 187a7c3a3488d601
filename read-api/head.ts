import { EngineUnavailable } from '../platform/failures.ts'
import type { ReadApiDependencies } from './dependencies.ts'

/** Where the log ends; null while the event store does not answer: how far behind anyone is, is then not known. */
export const headOf = async (store: Pick<ReadApiDependencies['store'], 'head'>): Promise<bigint | null> => {
  try {
    return await store.head()
  } catch (error) {
    if (error instanceof EngineUnavailable) return null
    throw error
  }
}
