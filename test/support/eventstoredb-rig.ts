import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AppendResult, EventStore, ExpectedRevision } from '../../platform/event-store.ts'
import {
  type EventStoreDbEventStore,
  type EventStoreDbOptions,
  openEventStoreDbEventStore,
} from '../../platform/eventstoredb-event-store.ts'
import { EngineUnavailable } from '../../platform/failures.ts'
import { silentLogger } from '../../platform/logging.ts'
import type { NewEvent, StoredEvent } from '../../schemas/envelope.ts'
import { type EventStoreDbServer, startEventStoreDbServer } from './eventstoredb-server.ts'
import { eventually } from './eventually.ts'

export interface EventStoreDbRig {
  readonly server: EventStoreDbServer
  readonly store: EventStoreDbEventStore
  /** Another store on the server, as of another process, closed with the rig. */
  open(url?: string, options?: Partial<EventStoreDbOptions>): EventStoreDbEventStore
  close(): Promise<void>
}

/** A test server with its log in a file, and stores on it that wait for an answer as long as a busy machine may take. */
export const openEventStoreDbRig = async (): Promise<EventStoreDbRig> => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-esdb-'))
  const server = await startEventStoreDbServer({ file: join(directory, `${randomUUID()}.ndjson`) })
  const stores: EventStoreDbEventStore[] = []
  const open: EventStoreDbRig['open'] = (url = server.url, options = {}) => {
    const patience = { appendDeadlineMs: 5_000, readStallMs: 5_000, idleMs: 100 }
    const store = openEventStoreDbEventStore({ url, logger: silentLogger, ...patience, ...options })
    stores.push(store)
    return store
  }
  return {
    server,
    store: open(),
    open,
    close: async () => {
      for (const store of stores) await store.close()
      await server.kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Resolves once the server answers. */
export const answers = (store: EventStoreDbEventStore): Promise<void> => eventually(store.check, () => true)

/** Repeats an append until the engine has answered. */
export const persistently = async (
  store: EventStore,
  stream: string,
  events: readonly NewEvent[],
  expected: ExpectedRevision,
): Promise<AppendResult> => {
  for (;;) {
    try {
      return await store.append(stream, events, expected)
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}

export interface Following {
  /** In the order they came. */
  readonly events: readonly StoredEvent[]
  /** One per page, in the order they came. */
  readonly positions: readonly bigint[]
  /** Resolves when so many events have come. */
  reached(count: number): Promise<void>
  /** Resolves when a page with this position or a later one has come. */
  passed(position: bigint): Promise<void>
  stop(): Promise<void>
}

/** Follows a log in the background. @param eachPage is awaited before the next page is asked for */
export const follow = (
  store: EventStore,
  after: bigint,
  options: { types?: readonly string[]; pageSize?: number; eachPage?: () => Promise<void> } = {},
): Following => {
  const { eachPage, ...subscription } = options
  const events: StoredEvent[] = []
  const positions: bigint[] = []
  const waiting = new Set<{ readonly holds: () => boolean; readonly resolve: () => void }>()
  const stop = new AbortController()
  const running = (async () => {
    for await (const page of store.subscribe({ after, signal: stop.signal, ...subscription })) {
      events.push(...page.events)
      positions.push(page.position)
      for (const entry of waiting) if (entry.holds()) entry.resolve()
      await eachPage?.()
    }
  })()
  const until = (holds: () => boolean) =>
    Promise.race([
      new Promise<void>((resolve) => {
        if (holds()) resolve()
        else waiting.add({ holds, resolve })
      }),
      running.then(() => {
        throw new Error('the subscription has ended')
      }),
    ])
  return {
    events,
    positions,
    reached: (count) => until(() => events.length >= count),
    passed: (position) => until(() => (positions.at(-1) ?? after) >= position),
    stop: async () => {
      stop.abort()
      await running
    },
  }
}
