import type { Stale } from './stale.ts'

/** Where a rebuild is: `loading` from the beginning of the log to where it ended, `catching-up` with what came since. */
export type RebuildPhase = 'loading' | 'indexing' | 'catching-up' | 'verifying' | 'swapping' | 'done'

/**
 * `running`: somebody works on it, or will. `cancelled`, `failed`: it stands where it was and can be resumed or dropped.
 * `done`: the generation is live. `dropped`: what was built is gone.
 */
export type RebuildState = 'running' | 'cancelled' | 'failed' | 'done' | 'dropped'

/** A rebuild of one projection. */
export interface Rebuild {
  /** uuid, shared by those that read the log together. */
  readonly run: string
  readonly projection: string
  /** The generation that is built. */
  readonly generation: number
  /** Of the code that builds it. */
  readonly version: number
  readonly phase: RebuildPhase
  readonly state: RebuildState
  /** Events that the projection handles, up to where it is loaded: where the log ended when it began, or later; more once it catches up. */
  readonly eventsTotal: bigint
  readonly eventsDone: bigint
  /** How much of the log it has. */
  readonly position: bigint
  /** Of the present phase; null before it is known. */
  readonly eventsPerSecond: number | null
  readonly secondsLeft: number | null
  /** Rows that were compared with the log before the swap, so far; null when none were. */
  readonly rowsVerified: bigint | null
  /** What it waits for, or why it has failed. */
  readonly error: string | null
  readonly operator: string
  readonly reason: string | null
  /** ISO 8601. */
  readonly startedAt: string
  readonly updatedAt: string
  readonly finishedAt: string | null
}

/** What there is of a projection besides the live generation. */
export interface Generation {
  readonly projection: string
  readonly generation: number
  readonly version: number
  /** `kept`: it was live once and can be swapped back. */
  readonly state: 'live' | 'building' | 'kept'
  /** ISO 8601. */
  readonly createdAt: string
  /** When another generation took its place. */
  readonly replacedAt: string | null
}

/** What a rebuild would do. */
export interface RebuildPlan {
  readonly projection: string
  readonly generation: number
  /** Events that it would read, by stored name. */
  readonly eventsByType: Readonly<Record<string, bigint>>
  readonly eventsTotal: bigint
  /** Rows or documents, those that there will be; null where the events add up to sums. */
  readonly rowsExpected: bigint | null
  /** As measured: in the last rebuild, or now by building a scratch generation of the first events. */
  readonly eventsPerSecond: number | null
  readonly secondsExpected: number | null
  /** What was built to measure it, and how much of that could not be applied; null when nothing was. */
  readonly measured: { readonly events: number; readonly failed: number } | null
}

/** Who asks for something to be done, and why. */
export interface Asked {
  readonly operator: string
  readonly reason?: string | undefined
}

/**
 * Builds generations of read models beside the live ones and swaps them in. What is asked for is written down at once; a
 * process that runs projections does it, and another one goes on with it when that one dies. All refusals are
 * `CommandRejected`: `projection-not-found`, `rebuild-running`, `rebuild-not-found`, `generation-not-found`,
 * `nothing-to-rebuild` (a consumer without a read model). Engine failures are `EngineUnavailable`.
 */
export interface RebuildService {
  plan(projections: readonly string[]): Promise<readonly RebuildPlan[]>
  /**
   * @param projections at least one; they read the log together
   * @param options.sample rows of each that are compared with the log before the swap; 'all' for every one
   */
  start(
    projections: readonly string[],
    asked: Asked,
    options?: { readonly sample?: number | 'all' },
  ): Promise<readonly Rebuild[]>
  /** Stands still where it is. Nothing happens to one that has ended. */
  cancel(projection: string, asked: Asked): Promise<Rebuild>
  resume(projection: string, asked: Asked): Promise<Rebuild>
  /**
   * Puts the generation back that was live before. Built by this version, it catches up first; built by another one, it is
   * swapped at once and serves what it has until that version of the code runs.
   */
  swapBack(projection: string, asked: Asked): Promise<Rebuild>
  /** Removes a generation that is kept, or what a cancelled or failed rebuild has built. */
  drop(projection: string, generation: number, asked: Asked): Promise<void>
  /** The rebuild of each projection that was asked for last, newest first. */
  rebuilds(projection?: string): Promise<readonly Rebuild[]>
  generations(projection?: string): Promise<readonly Generation[]>
  /** The consumers that are of another version than the code, or of another log, or ahead of it; and why. */
  stale(): Promise<readonly Stale[]>
  /**
   * Lets those begin anew that are ahead of a log that was put back and have no read model: the saga, the relay to Kafka,
   * the eraser of personal data.
   *
   * @returns their names
   */
  reset(asked: Asked): Promise<readonly string[]>
}
