import type { CheckpointReader } from '../platform/checkpointed-store.ts'
import type { Clock } from '../platform/clock.ts'
import type { Database } from '../platform/database.ts'
import type { EventFeed } from '../platform/event-feed.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { LeaderboardStore } from '../platform/leaderboard-store.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import type { SearchIndex } from '../platform/search-index.ts'
import type { RebuildService } from '../projections/rebuild.ts'
import type { Verifier } from '../projections/verify.ts'
import type { PersonalData, Sealed } from '../schemas/primitives.ts'

/** Opens sealed personal data; null where the key was destroyed. */
export interface PersonalDataOpener {
  open(sealed: readonly Sealed[]): Promise<readonly (PersonalData | null)[]>
}

/** Waits until all these projections have handled the log up to a position; false when the time ran out first. */
export interface ConsistencyWaiter {
  waitFor(projections: readonly string[], position: bigint, ms: number, signal?: AbortSignal): Promise<boolean>
}

interface Operator {
  readonly operator: string
  readonly reason: string
}

/** What an operator can do about parked events; each answers undefined when there is nothing of the kind. */
export interface ParkedEventsService {
  /** @returns how many events were applied and how many stay parked */
  retry(
    projection: string,
    stream: string,
    who: Operator,
  ): Promise<{ readonly applied: number; readonly parked: number } | undefined>
  /** @returns the number of the edit. @throws CommandRejected `event-not-editable`, `invalid-replacement` */
  edit(
    projection: string,
    stream: string,
    revision: bigint,
    request: Operator & { readonly type?: string | undefined; readonly data: Readonly<Record<string, unknown>> },
  ): Promise<number | undefined>
  /** @returns how many of the stream stay parked */
  discard(projection: string, stream: string, revision: bigint, who: Operator): Promise<number | undefined>
}

/** A consumer of the log that this version of the code knows. */
export interface KnownProjection {
  readonly name: string
  readonly version: number
  /** It keeps a read model that can be rebuilt. */
  readonly rebuildable: boolean
}

/** What the queries need. */
export interface ReadApiDependencies {
  readonly database: Database
  readonly store: Pick<EventStore, 'readStream' | 'readAll' | 'identity' | 'head'>
  readonly vault: PersonalDataOpener
  readonly consistency: ConsistencyWaiter
  /** Checkpoints that are not in PostgreSQL, by projection. */
  readonly checkpointsElsewhere?: Readonly<Record<string, CheckpointReader>>
  readonly leaderboards: Pick<LeaderboardStore, 'top' | 'currencies'>
  readonly searchIndex: {
    readonly products: Pick<SearchIndex['products'], 'search'>
    readonly orders: Pick<SearchIndex['orders'], 'search'>
  }
  readonly parkedEvents: ParkedEventsService
  readonly rebuilds: RebuildService
  readonly knownProjections: readonly KnownProjection[]
  /** The projectors of this process. */
  readonly projectors?: () => readonly { readonly name: string; readonly state: string; readonly error?: string }[]
  readonly verifier?: Verifier
  readonly clock: Clock
  readonly metrics: Pick<Metrics, 'asOfEvents'>
  readonly logger?: Pick<Logger, 'warn'>
}

/** What the live feed needs. */
export interface LiveDependencies {
  readonly database: Database
  readonly store: Pick<EventStore, 'readStream' | 'readAll' | 'head'>
  /** Followed once per process, in the order of the log: one partition. */
  readonly feed: Pick<EventFeed, 'follow'>
  readonly vault: PersonalDataOpener
  readonly consistency: ConsistencyWaiter
  readonly leaderboards: Pick<LeaderboardStore, 'top' | 'currencies'>
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}
