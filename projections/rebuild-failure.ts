import { isTransient } from '../platform/database.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { isExhausted } from './exhausted.ts'
import { RebuildStopped } from './rebuild-records.ts'
import { BuildFenced, WindowLost } from './window-sink.ts'

/** What stands in the record of a rebuild that waits or has failed: a refusal with what it is about. */
export const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const detail = error instanceof CommandRejected ? error.details.detail : undefined
  return typeof detail === 'string' ? `${error.message} ${detail}` : error.message
}

/** What becomes of a rebuild that something has ended, in a form that goes from one thread to another. */
export interface BuildFailure {
  readonly reason: string
  /** It is nobody's fault, or it is opened again: it is waited for. Anything else ends the rebuild until somebody resumes it. */
  readonly waits: boolean
  /** A window could not be written: up to here its batches are, one by one, as then it shows which event is to blame. */
  readonly carefulUpTo: bigint | undefined
}

/** What ended a build in another thread. */
export class BuildFailed extends Error {
  readonly failure: BuildFailure
  constructor(failure: BuildFailure) {
    super(failure.reason)
    this.failure = failure
  }
}

export const failureOf = (error: unknown): BuildFailure => {
  if (error instanceof BuildFailed) return error.failure
  const isLost = error instanceof WindowLost
  const reopens = isLost || error instanceof BuildFenced || error instanceof RebuildStopped
  return {
    reason: reasonOf(error),
    waits: reopens || (isTransient(error) && !isExhausted(error)),
    carefulUpTo: isLost && !isTransient(error.cause) ? error.to : undefined,
  }
}
