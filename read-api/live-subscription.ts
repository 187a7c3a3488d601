import { EngineUnavailable } from '../platform/failures.ts'
import { backOffMs, pause } from '../platform/pause.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { LiveEvent } from './live-event.ts'
import type { Gate } from './live-gate.ts'
import type { LiveHub } from './live-hub.ts'
import type { Outbox } from './live-outbox.ts'
import type { LiveSource } from './live-source.ts'

/** A read model that is not there for so long is built by nobody, milliseconds. */
const absentForMs = 30_000

/** One subscription of one connection. */
export interface Subscription {
  /** Where to resume; undefined while nothing has been sent or where there is nothing to resume. */
  cursor(): string | undefined
  stop(): void
}

/**
 * Sends every event after a place exactly once and in order.
 *
 * States: joining (new events begin to queue) -> reading the past from the log, page by page, as fast as the socket
 * takes it -> draining the queue, skipping what the past had already -> live (straight to the socket; through the queue
 * while the socket is full) -> stopped. A queue that overflows before live is dropped and the past is read on from where
 * it stands: the log is the buffer. A queue that overflows in live means a slow reader.
 */
export const startSubscription = (deps: {
  readonly id: string
  readonly after: bigint | undefined
  readonly source: LiveSource
  readonly hub: LiveHub
  readonly outbox: Outbox
  readonly gate: Gate
  /** Events that wait for the socket at most. */
  readonly maxQueue: number
  readonly onSlow: () => void
  /** The subscription has ended by itself. */
  readonly onFailure: (error: unknown) => void
}): Subscription => {
  const { id, source, hub, outbox, gate, maxQueue } = deps
  const stopped = new AbortController()
  const { signal } = stopped
  const head = `{"type":"event","id":${JSON.stringify(id)},"cursor":"`
  let place = deps.after
  let queue: LiveEvent[] = []
  let state: 'past' | 'overflowed' | 'live' = 'past'
  let draining = false

  const emit = (event: LiveEvent): void => {
    const at = source.placeOf(event)
    if (signal.aborted || (place !== undefined && at <= place)) return
    // Throws before the event counts as sent.
    const json = event.json()
    place = at
    outbox.sendText(`${head}${at}","revision":"${event.revision}","position":"${event.position}","event":${json}}`)
  }

  const drain = async (): Promise<void> => {
    draining = true
    while (queue.length > 0 && !signal.aborted) {
      if (!outbox.hasRoom()) await outbox.room()
      const event = queue.shift()
      if (event) emit(event)
    }
    draining = false
  }

  const overflow = (): void => {
    queue = []
    if (state === 'live') deps.onSlow()
    else state = 'overflowed'
  }

  const listener = (event: LiveEvent): void => {
    if (state === 'overflowed' || signal.aborted) return
    try {
      if (state === 'live' && !draining && outbox.hasRoom()) emit(event)
      else if (queue.length >= maxQueue) overflow()
      else {
        queue.push(event)
        if (state === 'live' && !draining) void drain().catch(fail)
      }
    } catch (error) {
      // Of this subscription: the hub has others to serve.
      fail(error)
    }
  }

  /** Reads from an engine that may be away, or a read model that a start has not made yet: the subscription waits with it. */
  const patiently = async <Result>(work: () => Promise<Result>): Promise<Result | undefined> => {
    const absentUntil = Date.now() + absentForMs
    const isToCome = (error: unknown): boolean =>
      error instanceof CommandRejected && error.code === 'read-model-absent' && Date.now() < absentUntil
    for (let attempt = 0; !signal.aborted; attempt += 1)
      try {
        // Its turn may come long after a client has come and gone.
        return await gate(async () => (signal.aborted ? undefined : work()))
      } catch (error) {
        if (!(error instanceof EngineUnavailable) && !isToCome(error)) throw error
        await pause(backOffMs(attempt), signal)
      }
    return undefined
  }

  const sendSnapshot = async (): Promise<void> => {
    const snapshot = await patiently(source.snapshot)
    if (!outbox.hasRoom()) await outbox.room()
    if (!snapshot || signal.aborted) return
    place = snapshot.place
    outbox.sendText(JSON.stringify({ type: 'snapshot', id, cursor: String(place), ...snapshot.body }))
  }

  const sendPast = async (joined: bigint): Promise<void> => {
    for (let done = false; !done && !signal.aborted; ) {
      await outbox.room()
      const after = place ?? 0n
      // Asked again when the turn has come: pages of a hundred subscriptions must not pile up before a full socket.
      const page = await patiently(async () => (outbox.hasRoom() ? source.page(after, joined) : 'full'))
      if (!page) return
      if (page === 'full') continue
      for (const event of page.events) {
        if (!outbox.hasRoom()) await outbox.room()
        emit(event)
      }
      // Also past events that were not for this subscription.
      place = page.place
      done = page.done
    }
  }

  const run = async (): Promise<void> => {
    while (!signal.aborted && state !== 'live') {
      queue = []
      state = 'past'
      const joined = await hub.join(source.topic, listener)
      if (place === undefined) await sendSnapshot()
      await sendPast(joined)
      // What comes in between the end of a drain and this turn is in the queue again.
      do await drain()
      while (queue.length > 0 && !signal.aborted)
      if (state === 'past') state = 'live'
      else hub.leave(source.topic, listener)
    }
    if (signal.aborted) hub.leave(source.topic, listener)
    else outbox.send({ type: 'caught-up', id, cursor: String(place) })
  }

  const stop = (): void => {
    stopped.abort()
    queue = []
    hub.leave(source.topic, listener)
  }

  const fail = (error: unknown): void => {
    if (signal.aborted) return
    stop()
    deps.onFailure(error)
  }

  void run().catch(fail)

  return { cursor: () => (place === undefined ? undefined : String(place)), stop }
}
