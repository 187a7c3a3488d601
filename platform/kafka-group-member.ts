import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs'
import type { FeedBatch } from './event-feed.ts'
import { kafkaUnavailable } from './kafka-client.ts'
import type { Logger } from './logging.ts'
import { pause } from './pause.ts'

/** What a partition's reader hands over, and what becomes of it: it was worked off, or the partition went away first. */
interface Offer {
  readonly batch: FeedBatch
  readonly settle: (outcome: 'handled' | 'withdrawn') => void
}

/** One assignment of partitions: it ends when the group rebalances, when the client breaks off or when we leave. */
export interface Round {
  /** Kafka's numbers. */
  readonly partitions: readonly number[]
  readonly over: AbortSignal
}

/** The group took the partition back, or we leave: nobody waits for the rest. */
export class RoundOver extends Error {}

/** Takes over what the client has fetched of one partition. @throws RoundOver */
export type ReadBatch = (payload: EachBatchPayload, beating: Beating) => Promise<void>
/** Waits for something while the group is told that we live. @throws RoundOver */
export type Beating = <Result>(work: Promise<Result>) => Promise<Result>

export interface GroupMember {
  /** Joins the group. @throws EngineUnavailable */
  start(): Promise<void>
  /** The present assignment; undefined before the first. */
  round(): Round | undefined
  /** Resolves when the round is over (false) or the batch was worked off (true). */
  offer(round: Round, batch: FeedBatch): Promise<boolean>
  /** The next batch to work off: exactly one is out at a time, until `handled`. */
  take(): FeedBatch | undefined
  /** What would be taken next. */
  peek(): FeedBatch | undefined
  handled(): void
  /**
   * Waits for something to take, another round, or an end; false when the time ran out first.
   *
   * @throws EngineUnavailable when the client broke off, or what a reader threw
   */
  changed(signal: AbortSignal, timeoutMs: number): Promise<boolean>
  /** Continues a partition at another offset. */
  seek(partition: number, offset: bigint): void
  /** Tells the broker how far the partition is worked off, as a hint for the next member. */
  hint(partition: number, offset: bigint, position: bigint): void
  close(): Promise<void>
}

const heartbeatMs = 500
const hintEveryMs = 2_000
const goodbyeMs = 5_000
/** How long the group may leave us without a new assignment: longer than it waits for its slowest member. */
const unassignedMs = 45_000

/**
 * The broker's answers upon which the client joins its group again. With UNKNOWN_MEMBER_ID it forgets first who it is, and
 * when joining fails then, it fetches on as nobody: that one is not left to it.
 */
const rejoining = new Set(['REBALANCE_IN_PROGRESS', 'NOT_COORDINATOR_FOR_GROUP', 'ILLEGAL_GENERATION'])
const joinsAgain = (error: unknown): boolean =>
  error instanceof Error && 'type' in error && typeof error.type === 'string' && rejoining.has(error.type)
const isClients = (error: unknown): boolean => error instanceof Error && error.name.startsWith('KafkaJS')
const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))

/**
 * A member of a consumer group, with the client's push turned into our pull.
 *
 * A reader (the client's eachBatch) offers a batch and stays in the client's hands until that is worked off; so nothing
 * is fetched ahead of the consumer, and while a batch is out there is always a reader that sends heartbeats. When one of
 * those tells of a rebalance, the reader retires the round: waiting offers are withdrawn, the batch that is out is waited
 * for, and only then does the client join again. Without that, the next owner would begin while we still write.
 */
export const createGroupMember = (deps: {
  readonly kafka: Kafka
  readonly topic: string
  readonly groupId: string
  /** Partitions of the topic. */
  readonly concurrency: number
  /** Told of a new round before anything of it is read. */
  readonly assigned: (round: Round) => void
  readonly read: ReadBatch
  readonly logger: Logger
}): GroupMember => {
  const { kafka, topic, groupId, read, logger } = deps
  const consumer: Consumer = kafka.consumer({
    groupId,
    allowAutoTopicCreation: false,
    sessionTimeout: 10_000,
    rebalanceTimeout: 30_000,
    heartbeatInterval: heartbeatMs,
    maxWaitTimeInMs: 250,
    maxBytesPerPartition: 2 * 1_048_576,
    metadataMaxAge: 60_000,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 4, restartOnFailure: async () => false },
  })
  const hints = new Map<number, { readonly offset: string; readonly metadata: string }>()
  const offers: Offer[] = []
  let out: Offer | undefined
  let outSettled: Promise<unknown> = Promise.resolve()
  let current: { readonly round: Round; readonly end: AbortController } | undefined
  let retiredAt = 0
  let failure: Error | undefined
  let closed = false
  let wake = (): void => undefined

  const retire = (): void => {
    if (!current?.round.over.aborted) retiredAt = performance.now()
    current?.end.abort()
    for (const { settle } of offers.splice(0)) settle('withdrawn')
    wake()
  }

  consumer.on(consumer.events.REBALANCING, retire)
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    failure = kafkaUnavailable(payload.error)
    retire()
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    retire()
    const end = new AbortController()
    const round = { partitions: payload.memberAssignment[topic] ?? [], over: end.signal }
    current = { round, end }
    deps.assigned(round)
    logger.debug({ groupId, partitions: payload.memberAssignment[topic] ?? [] }, 'joined the group')
    wake()
  })

  /** Until the batch that is out was worked off; the broker answers these heartbeats with the rebalance, and hears them. */
  const worked = async ({ heartbeat }: EachBatchPayload): Promise<void> => {
    const settled = outSettled.then(() => true)
    while (!(await Promise.race([settled, pause(heartbeatMs)]))) await heartbeat().catch(() => undefined)
  }

  const eachBatch = async (payload: EachBatchPayload): Promise<void> => {
    const mine = current?.round
    if (!mine || mine.over.aborted) return
    const beating: Beating = async (work) => {
      const done = work.then((result) => ({ result }))
      for (;;) {
        const timer = new AbortController()
        const beat = pause(heartbeatMs, AbortSignal.any([timer.signal, mine.over]))
        const settled = await Promise.race([done, beat]).finally(() => timer.abort())
        if (settled) return settled.result
        if (mine.over.aborted) throw new RoundOver()
        await payload.heartbeat()
      }
    }
    try {
      await read(payload, beating)
      await payload.heartbeat()
    } catch (error) {
      if (current?.round === mine) retire()
      await worked(payload)
      if (error instanceof RoundOver) return
      // The client joins again by itself, which begins a round.
      if (joinsAgain(error)) throw error
      // With anything else it would fetch on as the same member, and no round would ever begin: a new member must.
      failure = isClients(error) ? kafkaUnavailable(error) : toError(error)
      wake()
    }
  }

  const commitHints = async (): Promise<void> => {
    if (hints.size === 0 || !current || current.round.over.aborted) return
    const commits = [...hints].map(([partition, hint]) => ({ topic, partition, ...hint }))
    hints.clear()
    await consumer.commitOffsets(commits).catch((error: unknown) => {
      logger.debug({ groupId, error: String(error) }, 'the offsets of a group were not noted')
    })
  }
  const hinting = setInterval(() => void commitHints(), hintEveryMs)
  hinting.unref()

  return {
    start: async () => {
      try {
        await consumer.connect()
        await consumer.subscribe({ topics: [topic], fromBeginning: true })
        await consumer.run({
          autoCommit: false,
          eachBatchAutoResolve: false,
          partitionsConsumedConcurrently: deps.concurrency,
          eachBatch,
        })
      } catch (error) {
        throw kafkaUnavailable(error)
      }
    },
    round: () => current?.round,
    offer: (round, batch) =>
      new Promise((resolve) => {
        if (round.over.aborted || closed) return resolve(false)
        offers.push({ batch, settle: (outcome) => resolve(outcome === 'handled') })
        wake()
      }),
    take: () => {
      const offer = offers.shift()
      if (!offer) return undefined
      outSettled = new Promise((resolve) => {
        out = {
          batch: offer.batch,
          settle: (outcome) => {
            offer.settle(outcome)
            resolve(undefined)
          },
        }
      })
      return offer.batch
    },
    peek: () => offers[0]?.batch,
    handled: () => {
      out?.settle('handled')
      out = undefined
    },
    changed: async (signal, timeoutMs) => {
      if (failure) throw failure
      if (offers.length > 0 || signal.aborted) return true
      const timer = new AbortController()
      const woken = new Promise<boolean>((resolve) => {
        wake = () => resolve(true)
      })
      const tooLong = pause(timeoutMs, AbortSignal.any([signal, timer.signal])).then(() => false)
      const inTime = await Promise.race([woken, tooLong]).finally(() => timer.abort())
      if (failure) throw failure
      if (current?.round.over.aborted && performance.now() - retiredAt > unassignedMs)
        throw kafkaUnavailable(new Error(`${groupId} has had no assignment for ${unassignedMs} ms`))
      return inTime
    },
    seek: (partition, offset) => consumer.seek({ topic, partition, offset: offset.toString() }),
    hint: (partition, offset, position) => {
      hints.set(partition, { offset: offset.toString(), metadata: position.toString() })
    },
    close: async () => {
      clearInterval(hinting)
      await Promise.race([commitHints(), pause(1_000)])
      closed = true
      retire()
      out?.settle('withdrawn')
      out = undefined
      const left = consumer.disconnect().catch((error: unknown) => {
        logger.debug({ groupId, error: String(error) }, 'the group was not left in order')
      })
      await Promise.race([left, pause(goodbyeMs)])
    },
  }
}
