import type { EachBatchPayload } from 'kafkajs'
import type { FeedBatch, FeedEvent } from './event-feed.ts'
import type { EventStore } from './event-store.ts'
import { type Beating, type GroupMember, type Round, RoundOver } from './kafka-group-member.ts'
import { readPlace } from './kafka-message.ts'
import type { MessageReader } from './kafka-message-reader.ts'
import { firstStep, type Start } from './kafka-placement.ts'
import type { LogHead } from './log-head.ts'
import type { Logger } from './logging.ts'
import type { Partitioning } from './partitioning.ts'
import { patiently } from './patiently.ts'

/** One partition as long as a member has it. States: unplaced -> placed -> (filled from the store) -> ready. */
export interface PartitionReader {
  /** Where the consumer's checkpoint stands and where reading begins. */
  place(position: bigint, low: bigint, start: Start): void
  /** Reading may begin. */
  ready(): void
  /** What of the log up to this position is of the partition and wanted, read from the store. */
  fromStore(upTo: bigint, signal: AbortSignal): AsyncGenerator<FeedBatch>
  /** Tells a consumer that has not everything where the log ends. */
  headMoved(head: bigint): Generator<FeedBatch>
  /** Takes over what the client has fetched. @throws RoundOver, BeyondTheLog, EngineUnavailable */
  read(payload: EachBatchPayload, beating: Beating): Promise<void>
}

/** Events of the whole log that are looked through at once for those of one partition. */
const pageSize = 5_000

export const createPartitionReader = (deps: {
  readonly round: Round
  /** Kafka's number; ours is one more. */
  readonly partition: number
  readonly member: () => GroupMember
  readonly store: Pick<EventStore, 'readAll'>
  readonly partitioning: Partitioning
  readonly head: LogHead
  readonly messages: MessageReader
  readonly batchSize: number
  readonly wanted: ReadonlySet<string> | undefined
  /** Told when Kafka does not have the events between two positions (exclusive, inclusive). */
  readonly lost: (from: bigint, to: bigint) => void
  readonly signal: AbortSignal
  readonly logger: Logger
}): PartitionReader => {
  const { round, partition, member, store, partitioning, head, messages, batchSize, wanted } = deps
  const number = partition + 1
  let position = 0n
  let low = 0n
  let step = firstStep
  let searching = false
  let placed = false
  let ready = (): void => undefined
  const isReady = new Promise<void>((resolve) => {
    ready = resolve
  })
  const isWanted = ({ stored }: FeedEvent): boolean => !wanted || wanted.has(stored.type)

  async function* fromStore(upTo: bigint, signal: AbortSignal): AsyncGenerator<FeedBatch> {
    while (position < upTo && !signal.aborted) {
      const page = await patiently(() => store.readAll({ after: position, limit: pageSize }), signal, deps.logger)
      if (!page || page.position === position) return
      const end = page.position < upTo ? page.position : upTo
      const events = page.events
        .filter((stored) => stored.position <= end && partitioning.of(stored.stream) === number)
        .map(messages.fromStore)
        .filter(isWanted)
      for (let first = 0; first === 0 || first < events.length; first += batchSize) {
        const part = events.slice(first, first + batchSize)
        const reached = first + batchSize < events.length ? (part.at(-1)?.stored.position ?? end) : end
        yield { partition: number, events: part, position: reached, head: await head.from(reached) }
        position = reached
      }
    }
  }

  const read = async ({ batch, resolveOffset, isStale }: EachBatchPayload, beating: Beating): Promise<void> => {
    await beating(isReady)
    if (isStale()) return
    let events: FeedEvent[] = []
    let gathered = position

    const hand = async (handed: FeedBatch): Promise<void> => {
      if (!(await beating(member().offer(round, handed)))) throw new RoundOver()
    }
    const flush = async (): Promise<void> => {
      if (gathered === position) return
      await hand({ partition: number, events, position: gathered, head: await beating(head.from(gathered)) })
      position = gathered
      events = []
    }
    /** False: it is looked for further back. */
    const bridge = async (after: bigint, offset: bigint): Promise<boolean> => {
      if (searching && offset > low) {
        step *= 4n
        const back = offset - step
        searching = back > low
        member().seek(partition, back > low ? back : low)
        return false
      }
      deps.lost(position, after)
      const stored = fromStore(after, AbortSignal.any([deps.signal, round.over]))
      for (;;) {
        const { value, done } = await beating(stored.next())
        if (done) break
        await hand(value)
      }
      if (round.over.aborted) throw new RoundOver()
      if (position < after) throw new Error(`the log has nothing after ${position}, but Kafka holds ${after}`)
      return true
    }

    for (const { offset, value } of batch.messages) {
      const place = readPlace(value)
      if (place.position <= gathered) continue
      if (place.after > gathered) {
        await flush()
        if (place.after > position && !(await bridge(place.after, BigInt(offset)))) return
        gathered = position
        if (place.position <= gathered) continue
      }
      searching = false
      gathered = place.position
      const event = value && place.isEvent && messages.event(place.position, value)
      if (event && isWanted(event)) events.push(event)
      if (events.length === batchSize) {
        await flush()
        member().hint(partition, BigInt(offset) + 1n, position)
      }
    }
    await flush()
    resolveOffset(batch.lastOffset())
    member().hint(partition, BigInt(batch.lastOffset()) + 1n, position)
  }

  return {
    place: (checkpoint, first, start) => {
      position = checkpoint
      low = first
      placed = true
      searching = start.how === 'search'
    },
    ready,
    fromStore,
    headMoved: function* (end) {
      if (placed && end > position) yield { partition: number, events: [], position, head: end }
    },
    read,
  }
}
