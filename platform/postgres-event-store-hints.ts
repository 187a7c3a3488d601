import type pg from 'pg'
import { type Database, endConnection } from './database.ts'
import type { Logger } from './logging.ts'
import { backOffMs, pause } from './pause.ts'
import { createProgress } from './progress.ts'

/**
 * Knows how far the log is said to reach: told by appends of this process at once, and by notifications of others. A
 * hint may be lost or late; whoever waits for one also polls.
 */
export interface LogHints {
  /** The highest position heard of. */
  head(): bigint
  announce(position: bigint): void
  /** Resolves when a position beyond this one was heard of, after so many milliseconds at the latest, or on abort. */
  beyond(position: bigint, timeoutMs: number, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/**
 * Listens on a connection of its own. States: connecting -> listening -> (lost -> back-off -> connecting)* -> closed.
 */
export const openLogHints = ({ database, logger }: { database: Database; logger: Logger }): LogHints => {
  const closed = new AbortController()
  const progress = createProgress(0n)
  let client: pg.Client | undefined

  const listen = async (): Promise<void> => {
    const connected = await database.connect()
    client = connected
    const lost = new Promise<void>((resolve) => {
      connected.on('error', () => resolve())
      connected.on('end', () => resolve())
    })
    connected.on('notification', ({ payload }) => {
      if (payload && /^\d+$/.test(payload)) progress.advance(BigInt(payload))
    })
    await connected.query('listen orderlog_log')
    if (!closed.signal.aborted) await lost
    await endConnection(connected)
  }

  const keepListening = async (): Promise<void> => {
    for (let attempt = 0; !closed.signal.aborted; attempt += 1) {
      const startedAt = performance.now()
      await listen().catch((error: unknown) => logger.debug({ error: String(error) }, 'LISTEN failed'))
      if (closed.signal.aborted) return
      logger.info('the LISTEN connection was lost; polling until it is back')
      if (performance.now() - startedAt > 5_000) attempt = 0
      await pause(backOffMs(attempt), closed.signal)
    }
  }
  const listening = keepListening()

  return {
    head: progress.position,
    announce: progress.advance,
    // Jittered, so that the subscribers of many processes do not all poll at once.
    beyond: (position, timeoutMs, signal) => progress.beyond(position, signal, timeoutMs * (0.75 + Math.random() / 2)),
    close: async () => {
      closed.abort()
      if (client) await endConnection(client)
      await listening
    },
  }
}
