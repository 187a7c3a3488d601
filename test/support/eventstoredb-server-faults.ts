import { setTimeout as sleep } from 'node:timers/promises'
import { Metadata, type ServerErrorResponse, status } from '@grpc/grpc-js'

export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** What a test may do to the server while clients are connected. Everything is as it should be until told otherwise. */
export interface Faults {
  /** Requests are taken and not answered. What is appended is written later, or at once with the answer held back. */
  hang(appends: 'written-later' | 'written-now'): void
  /** Ends `hang` and `silence`: what was held back goes on. */
  resume(): void
  /** Every request waits so many milliseconds. */
  slow(ms: number): void
  /** Ends every open subscription in good order, as a node that shuts down may. */
  closeSubscriptions(): void
  /** Open subscriptions are told nothing any more; new ones are served. */
  silenceSubscriptions(): void
  /** Every event of a subscription is sent so many times. */
  repeatEvents(times: number): void
  /** A checkpoint is sent so many messages after its time. */
  delayCheckpoints(messages: number): void
  /** Live events that a slow subscriber may be behind before it is dropped. */
  liveBuffer(events: number): void
  /** How many subscribers were dropped for being too slow. */
  dropped(): number
  /** How many events it has sent in answer to reads; subscriptions do not count. */
  eventsRead(): number
  /** This node is no longer the leader and refuses whoever requires one; undefined: it is. */
  followLeader(leader: Endpoint | undefined): void
}

/** What the handlers ask of the faults. */
export interface FaultState {
  readonly faults: Faults
  /** Waits as long as `hang` and `slow` want it to. @param when before the request has its effect, or after */
  pass(when: 'before' | 'after'): Promise<void>
  /** The error for a call that requires the leader when this node is none. */
  refusal(metadata: Metadata): ServerErrorResponse | undefined
  readonly subscriptions: Set<{ end(): void; silent: boolean }>
  readonly eventTimes: number
  readonly checkpointDelay: number
  readonly liveBufferEvents: number
  countDropped(): void
  countRead(): void
}

export const serverError = (code: status, details: string, exception?: Record<string, string>): ServerErrorResponse => {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(exception ?? {})) metadata.set(name, value)
  return Object.assign(new Error(details), { code, details, metadata })
}

const gate = () => {
  let open = Promise.resolve()
  let release = (): void => undefined
  return {
    close: () => {
      open = new Promise((resolve) => {
        release = resolve
      })
    },
    open: () => release(),
    passed: () => open,
  }
}

export const createFaults = (): FaultState => {
  const gates = { before: gate(), after: gate() }
  const subscriptions: FaultState['subscriptions'] = new Set()
  let delayMs = 0
  let dropped = 0
  let eventsRead = 0
  let leader: Endpoint | undefined
  const settings = { eventTimes: 1, checkpointDelay: 0, liveBufferEvents: 2_048 }
  return {
    subscriptions,
    get eventTimes() {
      return settings.eventTimes
    },
    get checkpointDelay() {
      return settings.checkpointDelay
    },
    get liveBufferEvents() {
      return settings.liveBufferEvents
    },
    countDropped: () => {
      dropped += 1
    },
    countRead: () => {
      eventsRead += 1
    },
    pass: async (when) => {
      await gates[when].passed()
      if (when === 'before' && delayMs > 0) await sleep(delayMs)
    },
    refusal: (metadata) =>
      leader && metadata.get('requires-leader').includes('true')
        ? serverError(status.NOT_FOUND, 'Leader info available', {
            exception: 'not-leader',
            'leader-endpoint-host': leader.host,
            'leader-endpoint-port': String(leader.port),
          })
        : undefined,
    faults: {
      hang: (appends) => {
        gates.after.close()
        if (appends === 'written-later') gates.before.close()
      },
      resume: () => {
        gates.before.open()
        gates.after.open()
        for (const subscription of subscriptions) subscription.silent = false
      },
      slow: (ms) => {
        delayMs = ms
      },
      closeSubscriptions: () => {
        for (const subscription of subscriptions) subscription.end()
      },
      silenceSubscriptions: () => {
        for (const subscription of subscriptions) subscription.silent = true
      },
      repeatEvents: (times) => {
        settings.eventTimes = times
      },
      delayCheckpoints: (messages) => {
        settings.checkpointDelay = messages
      },
      liveBuffer: (events) => {
        settings.liveBufferEvents = events
      },
      dropped: () => dropped,
      eventsRead: () => eventsRead,
      followLeader: (endpoint) => {
        leader = endpoint
      },
    },
  }
}
