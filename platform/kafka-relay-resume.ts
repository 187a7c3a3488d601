import type { Admin, Kafka } from 'kafkajs'
import type { Database } from './database.ts'
import type { EventStore } from './event-store.ts'
import { decodeMessage, readPlace } from './kafka-message.ts'
import { begin, type RelayState, takeOver } from './kafka-relay-state.ts'
import { type Extent, topicExtents } from './kafka-topic.ts'
import { readStretches } from './kafka-topic-tail.ts'
import { type EventPlace, holdsEvent } from './log-continuity.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import { unsealedOnly } from './partitioning.ts'
import { liveOnly } from './read-model-generations.ts'

/** The log is older than what was published of it: it was put back, and Kafka holds what it no longer knows. */
export class LogPutBack extends Error {
  constructor(topic: string, what: string) {
    super(`${topic} was filled from another state of this log (${what}): an older log was put back`)
    this.name = 'LogPutBack'
  }
}

/**
 * What any consumer still has to be given. Those whose checkpoints are not in PostgreSQL, and those that do not exist
 * yet, find the topic to begin too late and read the store up to there.
 */
const needed = async (database: Database): Promise<bigint> => {
  const [row] = await database.query<{ position: bigint | null }>(
    `select min(position) as position from platform.checkpoints c
     where ${unsealedOnly} and ${liveOnly} and (partition > 0 or not exists (
       select from platform.checkpoints p where p.consumer = c.consumer and p.partition > 0))`,
  )
  return row?.position ?? 0n
}

const verifyEvent = async (store: EventStore, topic: string, place: EventPlace): Promise<void> => {
  if (!(await holdsEvent(store, place))) throw new LogPutBack(topic, `position ${place.position} is another event`)
}

/** So many messages of a partition are compared with the log at most, the newest. */
const tailLength = 500n

/**
 * Looks at what the topic holds beyond what was noted: the last request of a relay that died, or the future of a log
 * that was put back together with the relay's own checkpoint.
 */
const verifyTail = async (
  deps: { readonly kafka: Kafka; readonly admin: Admin; readonly store: EventStore; readonly topic: string },
  noted: readonly bigint[],
  ends: readonly bigint[],
): Promise<void> => {
  const stretches = new Map<number, Extent>()
  for (const [partition, high] of ends.entries()) {
    const from = noted[partition] ?? 0n
    if (from < high) stretches.set(partition, { low: from < high - tailLength ? high - tailLength : from, high })
  }
  const tails = await readStretches(deps, stretches)
  const head = await deps.store.head()
  for (const values of tails.values()) {
    const places = values.map((value) => ({ value, ...readPlace(value) }))
    const beyond = places.find(({ position }) => position > head)
    if (beyond) throw new LogPutBack(deps.topic, `it holds position ${beyond.position}, the log ends at ${head}`)
    const events = places.filter(({ isEvent }) => isEvent)
    for (const { value } of new Set([...events.slice(0, 1), ...events.slice(-1)]))
      await verifyEvent(deps.store, deps.topic, decodeMessage(value))
  }
}

/**
 * Whether a topic, and what was noted about it, is of the log as it is.
 *
 * @throws LogPutBack, EngineUnavailable
 */
export const verifyTopic = async (
  deps: Parameters<typeof verifyTail>[0],
  state: RelayState | undefined,
  ends: readonly bigint[],
): Promise<void> => {
  if (state) await verify(deps.store, deps.topic, state)
  // What nobody knows of may be the future of a log that was put back together with what was noted.
  await verifyTail(deps, state?.ends ?? [], ends)
}

const verify = async (store: EventStore, topic: string, { position, lastEvent }: RelayState): Promise<void> => {
  const head = await store.head()
  if (position > head) throw new LogPutBack(topic, `it holds position ${position}, the log ends at ${head}`)
  if (lastEvent) await verifyEvent(store, topic, lastEvent)
}

/**
 * Takes the topic over and says where to go on: behind what Kafka has acknowledged, or, when it has lost some of that or
 * nothing was ever published, behind what every consumer has.
 *
 * @throws LogPutBack, EngineUnavailable
 */
export const resumeRelay = async (deps: {
  readonly kafka: Kafka
  readonly admin: Admin
  readonly store: EventStore
  readonly database: Database
  readonly topic: string
  readonly session: string
  /** The topic is known to have lost messages, even if its ends no longer show it. */
  readonly lossSeen: boolean
  readonly logger: Logger
  readonly metrics: Metrics
}): Promise<RelayState> => {
  const { admin, database, topic, session, logger, metrics } = deps
  const state = await takeOver(database, topic, session)
  // Asked after the former relay was fenced, or what it sends meanwhile would be taken for lost.
  const extents = await topicExtents(admin, topic)
  const ends = [...extents].sort(([a], [b]) => a - b).map(([, { high }]) => high)
  const lost =
    state !== undefined && (deps.lossSeen || ends.some((end, partition) => end < (state.ends[partition] ?? 0n)))
  if (state && !lost) {
    await verifyTopic(deps, state, ends)
    return { ...state, ends }
  }
  if (!state) await verifyTopic(deps, undefined, ends)
  const from = { position: await needed(database), ends, lastEvent: null }
  await begin(database, topic, session, from)
  if (lost) {
    metrics.relayTopicLosses.inc()
    logger.warn(
      { topic, from: from.position.toString() },
      'Kafka has lost events; what consumers need is published again',
    )
  }
  return from
}
