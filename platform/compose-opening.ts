import type { Clock } from './clock.ts'
import type { Config, Role } from './config.ts'
import type { Database } from './database.ts'
import { type AwaitedEngine, reasonOf } from './engine-wait.ts'
import { EngineUnavailable } from './failures.ts'
import type { HealthCheck } from './health.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { LogTrail } from './log-trail.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'

/** What it takes to open an engine. */
export interface Opening {
  readonly config: Config
  readonly roles: readonly Role[]
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly lifecycle: Lifecycle
  /** Aborted when the process is told to stop before it has started. */
  readonly stopping: AbortSignal
}

export interface Connections {
  /** For who writes: appends, projections, sagas. */
  readonly database: Database
  /** For queries of customers alone: however slow they get, appends and projections do not wait. */
  readonly queries: Database
  /** For rebuilds, whose statements are long and which nobody waits for. */
  readonly rebuilding: Database
}

/** A store as writers have it and as queries have it, over connections of their own. */
export interface Pair<Store, Checkpoints> {
  readonly writing: Store
  readonly asking: Store
  /**
   * For who builds another generation, and for operators. Apart from `writing`: who prepares a store leads it to the
   * generation that is live now, and a projector of another version would not notice that its own was replaced.
   */
  readonly building: Store
  /** When it is not PostgreSQL that has them. */
  readonly checkpoints?: Checkpoints
  /** Kept beside those checkpoints. */
  readonly trail?: LogTrail
  /** Of an engine of its own. */
  readonly check?: HealthCheck
}

/**
 * What waits for an engine that is away: told of once, and gone on without it.
 *
 * @param without what waits, as the beginning of a sentence: `the leaderboards`
 */
export const unlessAway = async (
  { name, variable, host }: AwaitedEngine,
  check: () => Promise<void>,
  { without, logger }: { readonly without: string; readonly logger: Logger },
): Promise<void> => {
  try {
    await check()
  } catch (error) {
    if (!(error instanceof EngineUnavailable)) throw error
    logger.warn(
      { variable, host, reason: reasonOf(error) },
      `${without} wait for ${name} on ${host} (${variable}), which does not answer`,
    )
  }
}
