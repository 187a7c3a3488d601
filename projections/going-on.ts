import type { Database } from '../platform/database.ts'
import type { Logger } from '../platform/logging.ts'
import { pause } from '../platform/pause.ts'
import type { Log } from './admission.ts'
import { NewerCodeNeeded, TooManyParkedStreams } from './applier.ts'
import { countParked, loadParkedStreams } from './parking.ts'
import type { Projection } from './projection.ts'
import type { createProjectorStatus } from './projector-status.ts'
import type { ErrorPolicy } from './verdict.ts'

/** What a projector looks for beside its work: whether it may go on, and what operators did to what it has parked. */
export const createGoingOn = (deps: {
  readonly projection: Projection
  readonly database: Database
  readonly log: Log
  readonly logger: Logger
  readonly policy: ErrorPolicy
  readonly status: ReturnType<typeof createProjectorStatus>
}) => {
  const { projection, database, log, logger, policy, status } = deps
  const { name, sink } = projection

  /** Asks from time to time, until it holds or the signal aborts; an engine that is away is asked again. */
  const until = async (holds: () => Promise<boolean>, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await pause(policy.lookAgainMs, signal)
      const held = await holds().catch((error: unknown) => {
        logger.debug({ projection: name, error: String(error) }, 'nobody could say whether the projection may go on')
        return false
      })
      if (held) return
    }
  }

  return {
    /** Waits until a projection that broke off may be entered again; false when that is not for us to say. */
    mayGoOn: async (error: unknown, signal: AbortSignal): Promise<boolean> => {
      if (error instanceof NewerCodeNeeded) {
        const { partition, position } = error
        status.waiting(error.message, 'newer-event')
        log.head().then(status.ends, () => undefined)
        // The feed was left, so that a process with newer code takes over: its checkpoint tells when it has.
        await until(async () => (await sink.checkpoint(partition)).position >= position, signal)
        return true
      }
      if (error instanceof TooManyParkedStreams) {
        status.stopped(
          `${error.message}; it goes on once fewer than ${policy.maxParkedStreams} are left`,
          'parked-streams',
        )
        await until(async () => (await loadParkedStreams(database, name)).size < policy.maxParkedStreams, signal)
        return true
      }
      return false
    },
    /** What an operator does to parked events shows soon, not only with the next event. Ends with the signal. */
    keepCounting: (signal: AbortSignal): Promise<void> =>
      until(async () => {
        if (signal.aborted || status.current().parkedEvents === 0) return false
        const { parked, gaps } = await countParked(database, name)
        status.parked(parked, gaps)
        return false
      }, signal),
  }
}
