import { ReadModelAbsent } from '../platform/failures.ts'
import { CommandRejected } from '../schemas/errors.ts'

/** SQLSTATE of a table or schema that does not exist: the projection has never been started on this database. */
const isAbsent = (error: unknown): boolean =>
  error instanceof ReadModelAbsent ||
  (error instanceof Error && 'code' in error && (error.code === '42P01' || error.code === '3F000'))

/**
 * Runs a query over read models.
 *
 * @throws CommandRejected `read-model-absent` instead of the engine's complaint about what is missing
 */
export const overReadModels = async <Result>(work: () => Promise<Result>): Promise<Result> => {
  try {
    return await work()
  } catch (error) {
    if (isAbsent(error)) throw new CommandRejected('read-model-absent')
    throw error
  }
}
