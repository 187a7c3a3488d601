import type { Board } from '../platform/leaderboard-store.ts'
import { backOffMs, pause } from '../platform/pause.ts'
import { createProgress } from '../platform/progress.ts'
import type { LeaderboardQuery } from '../schemas/queries.ts'
import { namesOf } from '../schemas/stored-names.ts'
import type { Leaderboard } from '../schemas/views.ts'
import type { LiveDependencies } from './dependencies.ts'
import { readLeaderboard } from './leaderboard-board.ts'
import type { LiveEvent } from './live-event.ts'
import type { LiveHub } from './live-hub.ts'

/** Boards are read anew and sent four times a second at most. */
const coalesceMs = 250
/** Without a sale, boards are looked at so often: an hour or a day may have begun. */
const idleMs = 15_000

const saleNames = new Set(namesOf('OrderConfirmed', 'OrderCancelled'))

export type BoardRequest = Omit<LeaderboardQuery, 'waitMs' | 'asOf' | 'at'> & { readonly board: Board }

type BoardListener = (leaderboard: Leaderboard, json: string) => void

interface Group {
  readonly request: BoardRequest
  readonly listeners: Set<BoardListener>
}

/** Boards as they change, each read once however many connections watch it. */
export interface LiveLeaderboards {
  /** Calls back with the board as it is, soon, and whenever it was read again. @returns how to stop */
  watch(request: BoardRequest, listener: BoardListener): () => void
}

/**
 * States: idle without watchers -> waiting for a sale (or for time to pass) -> waiting until the projection has it ->
 * reading every watched board -> pausing, so that many sales make one update -> waiting again.
 */
export const createLiveLeaderboards = (
  deps: Pick<LiveDependencies, 'database' | 'leaderboards' | 'consistency' | 'clock' | 'logger'> & {
    readonly hub: LiveHub
    readonly signal: AbortSignal
  },
): LiveLeaderboards => {
  const { hub, consistency, logger } = deps
  const groups = new Map<string, Group>()
  let watching: AbortController | undefined

  const read = ({ board, ...query }: BoardRequest) => readLeaderboard(deps, board, query)

  const refresh = async (): Promise<void> => {
    for (const { request, listeners } of groups.values()) {
      const leaderboard = await read(request)
      const json = JSON.stringify(leaderboard)
      for (const listener of listeners) listener(leaderboard, json)
    }
  }

  const run = async (signal: AbortSignal): Promise<void> => {
    const sales = createProgress(0n)
    const listener = (event: LiveEvent): void => {
      if (saleNames.has(event.type)) sales.advance(event.position)
    }
    sales.advance(await hub.join('orders', listener))
    let shown = -1n
    while (!signal.aborted) {
      const target = sales.position()
      try {
        const reached = await consistency.waitFor(['leaderboards'], target, coalesceMs, signal)
        if (signal.aborted) break
        await refresh()
        if (reached) shown = target
      } catch (error) {
        logger.warn({ error: String(error) }, 'the live leaderboards could not be read; trying again')
      }
      await pause(coalesceMs, signal)
      await sales.beyond(shown, signal, idleMs)
    }
    hub.leave('orders', listener)
  }

  /** The board for a watcher who has just come, unless the others were told a newer one meanwhile. */
  const welcome = async (request: BoardRequest, listener: BoardListener, isWaiting: () => boolean): Promise<void> => {
    for (let attempt = 0; isWaiting(); attempt += 1)
      try {
        const leaderboard = await read(request)
        if (isWaiting()) listener(leaderboard, JSON.stringify(leaderboard))
      } catch {
        await pause(backOffMs(attempt), deps.signal)
      }
  }

  return {
    watch: (request, listener) => {
      const key = JSON.stringify([request.board, request.by, request.window, request.currency, request.limit])
      const group = groups.get(key) ?? { request, listeners: new Set() }
      let waiting = true
      const tell: BoardListener = (leaderboard, json) => {
        waiting = false
        listener(leaderboard, json)
      }
      groups.set(key, group)
      group.listeners.add(tell)
      void welcome(request, tell, () => waiting && !deps.signal.aborted)
      if (!watching) {
        watching = new AbortController()
        void run(AbortSignal.any([watching.signal, deps.signal]))
      }
      return () => {
        waiting = false
        group.listeners.delete(tell)
        if (group.listeners.size === 0 && groups.get(key) === group) groups.delete(key)
        if (groups.size > 0) return
        watching?.abort()
        watching = undefined
      }
    },
  }
}
