import type { CheckpointReader } from '../platform/checkpointed-store.ts'
import type { Clock } from '../platform/clock.ts'
import type { Database } from '../platform/database.ts'
import type { EventFeed } from '../platform/event-feed.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { LeaderboardStore } from '../platform/leaderboard-store.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import type { SearchIndex } from '../platform/search-index.ts'
import type { PersonalData, Sealed } from '../schemas/primitives.ts'

/** Opens sealed personal data; null where the key was destroyed. */
export interface PersonalDataOpener {
  open(sealed: readonly Sealed[]): Promise<readonly (PersonalData | null)[]>
}

/** Waits until all these projections have handled the log up to a position; false when the time ran out first. */
export interface ConsistencyWaiter {
  waitFor(projections: readonly string[], position: bigint, ms: number, signal?: AbortSignal): Promise<boolean>
}

/** Lets a projection try the parked events of one stream again. */
export interface ParkedEventsService {
  /** @returns how many events were applied and how many stay parked; undefined when nothing of it was parked */
  retry(
    projection: string,
    stream: string,
    who: { readonly operator: string; readonly reason: string },
  ): Promise<{ readonly applied: number; readonly parked: number } | undefined>
}

/** What the queries need. */
export interface ReadApiDependencies {
  readonly database: Database
  readonly store: Pick<EventStore, 'readStream' | 'identity' | 'head'>
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
  readonly clock: Clock
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
