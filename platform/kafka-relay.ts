import { randomUUID } from 'node:crypto'
import type { Admin, Kafka, Producer } from 'kafkajs'
import type { Database } from './database.ts'
import type { EventStore, LogPage } from './event-store.ts'
import { kafkaUnavailable } from './kafka-client.ts'
import { discardWhenAsked } from './kafka-put-back.ts'
import { LogPutBack, resumeRelay } from './kafka-relay-resume.ts'
import { type RelayState, save } from './kafka-relay-state.ts'
import { createRelayStream, cut, type RelayMessage } from './kafka-relay-stream.ts'
import { ensureTopic, type TopicOptions, topicExtents, topicOf } from './kafka-topic.ts'
import type { Leases } from './leases.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import { createPartitioning } from './partitioning.ts'
import { backOffMs, pause } from './pause.ts'
import { kafkaConsumer, removePutBack } from './put-back-records.ts'

/** `standby`: another relay carries the log. `waiting`: an engine is away or the topic cannot be used, see `error`. */
export interface RelayStatus {
  readonly state: 'standby' | 'publishing' | 'waiting'
  /** Everything up to here is in Kafka. */
  readonly position: bigint
  readonly error?: string
}

export interface KafkaRelay {
  /** Carries the log until the signal aborts; waits for engines that are away. Never rejects. */
  run(signal: AbortSignal): Promise<void>
  status(): RelayStatus
}

export interface KafkaRelayDependencies extends TopicOptions {
  readonly kafka: Kafka
  /** Begins the topic's name. */
  readonly namespace: string
  readonly store: EventStore
  readonly database: Database
  readonly leases: Leases
  readonly logger: Logger
  readonly metrics: Metrics
  /** Events per request at most. */
  readonly pageSize?: number
  /** How long a partition without events waits at most to hear how far the log has come, milliseconds. */
  readonly markEveryMs?: number
  /** Told up to which position every event is in Kafka: at the start and whenever that grows. */
  readonly onPosition?: (position: bigint) => void
}

/** Where the relay stands; `ends` move on with every answer of Kafka. */
type Carried = RelayState & { readonly ends: bigint[] }

/** The topic was emptied or made again under the running relay. */
class TopicLost extends Error {
  constructor(topic: string) {
    super(`${topic} was emptied or made again`)
    this.name = 'TopicLost'
  }
}

const headEveryMs = 1_000
/** A relay that has not got the lease by then stands by, milliseconds. */
const standbyAfterMs = 1_000
/** How long a relay that stops waits for the answer to what it has sent, milliseconds. */
const goodbyeMs = 2_000
/** How often an idle relay looks whether its topic is still there. */
const topicEveryMs = 5_000

/**
 * Carries the log to its topic, in order.
 *
 * A relay: standby until it holds the lease -> finds out where Kafka stands -> publishing -> standby again when the
 * lease is lost, when Kafka or PostgreSQL fail, or when another relay has written its session over ours. Nothing rests
 * on the lease: of two relays that both publish, the messages of one repeat those of the other, and consumers skip them
 * by their position; the one whose session is gone stops with its next checkpoint.
 */
export const createKafkaRelay = (deps: KafkaRelayDependencies): KafkaRelay => {
  const { kafka, store, database, leases, logger, metrics, pageSize = 1_000, markEveryMs = 100 } = deps
  const partitioning = createPartitioning(deps.partitions)
  let status: RelayStatus = { state: 'standby', position: 0n }
  let lossSeen = false

  const reached = (position: bigint): void => {
    status = { state: 'publishing', position }
    metrics.relayPosition.set(Number(position))
    deps.onPosition?.(position)
  }

  /** Sends in order; resolves when every replica in sync has it all. `ends` move on with what was acknowledged. */
  const send = async (producer: Producer, topic: string, ends: bigint[], messages: readonly RelayMessage[]) => {
    for (const request of cut(messages)) {
      const counts = new Map<number, number>()
      for (const { partition } of request) counts.set(partition, (counts.get(partition) ?? 0) + 1)
      const answers = await producer.send({ topic, acks: -1, messages: request }).catch((error: unknown) => {
        throw kafkaUnavailable(error)
      })
      for (const { partition, baseOffset } of answers) {
        const base = BigInt(baseOffset ?? -1)
        if (base < (ends[partition] ?? 0n)) throw new TopicLost(topic)
        ends[partition] = base + BigInt(counts.get(partition) ?? 0)
      }
    }
  }

  /** Rejects when the topic ends before what was acknowledged; nobody would notice while nothing happens. */
  const watchTopic = async (admin: Admin, topic: string, ends: readonly bigint[], signal: AbortSignal) => {
    for (;;) {
      await pause(topicEveryMs, signal)
      if (signal.aborted) return
      const acknowledged = [...ends]
      const extents = await topicExtents(admin, topic)
      if (acknowledged.some((end, partition) => (extents.get(partition)?.high ?? 0n) < end)) throw new TopicLost(topic)
    }
  }

  const carry = async (producer: Producer, topic: string, session: string, from: Carried, signal: AbortSignal) => {
    const { ends } = from
    const stream = createRelayStream(partitioning, from.position)
    const pages = store.subscribe({ after: from.position, pageSize, withJson: true, signal })[Symbol.asyncIterator]()
    let { position, lastEvent } = from
    let marked = 0
    let sending: Promise<unknown> = Promise.resolve()
    let saving: Promise<unknown> = Promise.resolve()
    // The next page is read, and put into messages, while this one travels.
    let next = pages.next()
    next.catch(() => undefined)
    reached(position)

    /** The next page, or nothing when idle partitions must not wait any longer. */
    const pageInTime = async (): Promise<IteratorResult<LogPage, void> | undefined> => {
      const timer = new AbortController()
      const broken = new Promise<never>((_, reject) => {
        Promise.all([sending, saving]).catch(reject)
      })
      const patience = marked + markEveryMs - performance.now()
      const tooLong = stream.owes(position) ? [pause(Math.max(0, patience), timer.signal).then(() => undefined)] : []
      return Promise.race([next, broken, ...tooLong]).finally(() => timer.abort())
    }

    const sendAndSave = async (messages: readonly RelayMessage[], whole: Omit<RelayState, 'ends'> | undefined) => {
      await send(producer, topic, ends, messages)
      if (!whole) return
      reached(whole.position)
      await saving
      saving = save(database, topic, session, { ...whole, ends: [...ends] })
      saving.catch(() => undefined)
    }

    for (;;) {
      const result = await pageInTime()
      if (signal.aborted || result?.done) break
      const messages: RelayMessage[] = []
      if (result) {
        next = pages.next()
        next.catch(() => undefined)
        const { events, json } = result.value
        for (const [index, stored] of events.entries()) messages.push(stream.event(stored, json?.[index]))
        position = result.value.position
        lastEvent = events.at(-1) ?? lastEvent
        metrics.relayEvents.inc(events.length)
      }
      const now = performance.now()
      if (now - marked >= markEveryMs) {
        messages.push(...stream.marks(position))
        marked = now
      }
      await sending
      sending = sendAndSave(messages, stream.owes(position) ? undefined : { position, lastEvent })
      sending.catch(() => undefined)
    }
    await sending
    await saving
  }

  const publish = async (topic: string, signal: AbortSignal): Promise<void> => {
    const session = randomUUID()
    const admin = kafka.admin()
    const producer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
    })
    const over = new AbortController()
    const mine = AbortSignal.any([signal, over.signal])
    const working: Promise<void>[] = []
    try {
      await admin.connect()
      await ensureTopic(admin, topic, deps)
      const from = await resumeRelay({ ...deps, admin, topic, session, lossSeen }).catch(async (error: unknown) => {
        if (!(error instanceof LogPutBack) || !(await discardWhenAsked({ admin, database, topic }, error))) throw error
        throw new TopicLost(topic)
      })
      await removePutBack(database, kafkaConsumer)
      lossSeen = false
      await producer.connect()
      logger.info({ topic, position: from.position.toString() }, 'the relay carries the log to Kafka')
      const carried = { ...from, ends: [...from.ends] }
      working.push(carry(producer, topic, session, carried, mine), watchTopic(admin, topic, carried.ends, mine))
      await Promise.race(working)
    } catch (error) {
      if (error instanceof TopicLost) lossSeen = true
      throw error
    } finally {
      over.abort()
      const ended = Promise.allSettled(working)
      await Promise.race([ended, pause(goodbyeMs)])
      await Promise.allSettled([producer.disconnect(), admin.disconnect()])
      await ended
    }
  }

  const watchLag = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const head = await store.head().catch(() => undefined)
      if (head !== undefined && status.state !== 'standby')
        metrics.relayLagEvents.set(Number(head > status.position ? head - status.position : 0n))
      await pause(headEveryMs, signal)
    }
  }

  const carryOn = async (signal: AbortSignal): Promise<void> => {
    for (let failures = 0; !signal.aborted; ) {
      const before = status.position
      try {
        const topic = topicOf(deps.namespace, await store.identity())
        // Another one carries the log, or will: what was wrong before is not wrong with us any more.
        const stepAside = setTimeout(() => {
          status = { state: 'standby', position: status.position }
          metrics.relayLagEvents.set(0)
        }, standbyAfterMs)
        const lease = await leases.acquire(`relay/${topic}`, signal).finally(() => clearTimeout(stepAside))
        if (!lease) return
        await publish(topic, AbortSignal.any([signal, lease.lost])).finally(lease.release)
        status = { ...status, state: 'standby' }
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        if (status.error !== reason) logger.warn({ error: reason }, 'the relay to Kafka waits')
        status = { state: 'waiting', position: status.position, error: reason }
      }
      failures = status.position > before ? 0 : failures + 1
      await pause(backOffMs(failures), signal)
    }
  }

  return {
    status: () => status,
    run: async (signal) => {
      await Promise.all([carryOn(signal), watchLag(signal)])
    },
  }
}
