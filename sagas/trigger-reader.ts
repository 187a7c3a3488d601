import type { EventFeed, FeedBatch } from '../platform/event-feed.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { pause } from '../platform/pause.ts'
import { idOf } from '../schemas/streams.ts'
import { type Checkpoints, consumer } from './checkpoint.ts'
import { createLowWaterMark, type LowWaterMark } from './low-water-mark.ts'
import type { ProcessManagerConfig } from './process-manager-config.ts'
import type { SagaTables } from './tables.ts'
import { isNewer, isRelevant, unreadableIn, type Work, workOf } from './work.ts'

/** Only newer code can act upon the event at this position. */
interface NewerCode {
  readonly reason: string
  readonly partition: number
  readonly position: bigint
}

/**
 * Reads the feed as far ahead as there is room, and keeps the checkpoints: of each partition, the low-water mark of the
 * triggers that are finished. States: reading -> waiting, at an event that only newer code can act upon, with the feed
 * given up to that code -> reading, once it has gone past.
 */
export const createTriggerReader = (deps: {
  readonly feed: EventFeed
  readonly checkpoints: Checkpoints
  readonly tables: Pick<SagaTables, 'asideOrders'>
  /** Takes what there is to do for an order. */
  readonly add: (orderId: string, work: Work) => void
  readonly leaveAside: (orderIds: readonly string[]) => void
  readonly config: Pick<ProcessManagerConfig, 'readAhead' | 'checkpointEveryMs' | 'lookAgainMs'>
  readonly logger: Logger
  readonly metrics: Metrics
}) => {
  const { feed, checkpoints, tables, add, leaveAside, config, logger, metrics } = deps
  const marks = new Map<number, { readonly mark: LowWaterMark; saved: bigint }>()
  let owned: readonly number[] = []
  let unfinished = 0
  let roomMade: (() => void) | undefined

  /** Takes what comes before the first event that only newer code can act upon, if there is one. */
  const take = (batch: FeedBatch, mark: LowWaterMark): NewerCode | undefined => {
    const relevant = batch.events.filter(({ stored: each }) => isRelevant(each))
    const newer = relevant.findIndex((event) => isNewer(unreadableIn(event)))
    const events = newer < 0 ? relevant : relevant.slice(0, newer)
    const stop = relevant[newer]
    const before = stop && batch.events[batch.events.indexOf(stop) - 1]
    const finished =
      stop && !before ? () => undefined : mark.begin(before ? before.stored.position : batch.position, events.length)
    for (const event of events) {
      unfinished += 1
      const done = () => {
        unfinished -= 1
        finished()
        roomMade?.()
      }
      add(idOf(event.stored.stream), workOf(event, done))
    }
    if (!stop) return undefined
    const { partition } = batch
    return { reason: String((unreadableIn(stop) as Error).message), partition, position: stop.stored.position }
  }

  const room = async (signal: AbortSignal): Promise<void> => {
    while (unfinished >= config.readAhead && !signal.aborted)
      await new Promise<void>((resolve) => {
        roomMade = resolve
      })
    roomMade = undefined
  }

  const saveCheckpoints = async (): Promise<void> => {
    for (const [partition, entry] of marks) {
      const position = entry.mark.position()
      if (position === entry.saved) continue
      await checkpoints.save(partition, position)
      entry.saved = position
    }
  }

  const keepCheckpoints = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await pause(config.checkpointEveryMs, signal)
      await saveCheckpoints().catch((error: unknown) => logger.debug({ error: String(error) }, 'no checkpoint saved'))
    }
  }

  const resume = async (partition: number): Promise<bigint> => {
    const position = await checkpoints.read(partition)
    // Another worker may have set orders aside meanwhile.
    leaveAside(await tables.asideOrders())
    marks.set(partition, { mark: createLowWaterMark(position), saved: position })
    return position
  }

  let waiting: string | undefined

  /** Until newer code has gone past what only it can read; meanwhile the feed is somebody else's. */
  const waitFor = async ({ reason, partition, position }: NewerCode, signal: AbortSignal): Promise<void> => {
    waiting = reason
    metrics.sagaWaiting.set({ reason: 'newer-event' }, 1)
    logger.warn({ error: reason }, 'the saga waits for newer code')
    while (!signal.aborted) {
      await pause(config.lookAgainMs, signal)
      const reached = await checkpoints.read(partition).catch((error: unknown) => {
        if (!(error instanceof EngineUnavailable)) throw error
        return 0n
      })
      if (reached >= position) break
    }
    waiting = undefined
    metrics.sagaWaiting.set({ reason: 'newer-event' }, 0)
    if (!signal.aborted) logger.info({ position: String(position) }, 'newer code has gone past it; the saga goes on')
  }

  const consume = async (signal: AbortSignal): Promise<NewerCode | undefined> => {
    signal.addEventListener('abort', () => roomMade?.(), { once: true })
    const onAssigned = (partitions: readonly number[]): void => {
      owned = partitions
    }
    // No filter by name: a newer version of an event has a name that no filter can list, and must not be missed.
    const options = { checkpoint: resume, onAssigned, batchSize: 500, signal }
    for await (const batch of feed.consume(consumer, options)) {
      const mark = marks.get(batch.partition)?.mark
      if (!mark) throw new Error(`a batch of partition ${batch.partition} came before its checkpoint was asked for`)
      const newer = take(batch, mark)
      if (newer) return newer
      await room(signal)
    }
    return undefined
  }

  return {
    /** Until the signal aborts. @throws StartupError, LogWentBack */
    read: async (signal: AbortSignal): Promise<void> => {
      for (let newer = await consume(signal); newer; newer = signal.aborted ? undefined : await consume(signal))
        await waitFor(newer, signal)
    },
    keepCheckpoints,
    saveCheckpoints,
    /** Everything up to here is finished, in every partition that is read here. */
    position: (): bigint =>
      owned
        .map((partition) => marks.get(partition)?.mark.position() ?? 0n)
        .reduce<bigint | undefined>((low, each) => (low === undefined || each < low ? each : low), undefined) ?? 0n,
    /** Why it does not go on: only newer code can. */
    waiting: (): string | undefined => waiting,
  }
}
