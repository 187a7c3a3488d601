import type { TopQuery } from '../platform/leaderboard-store.ts'
import { holdsEvent } from '../platform/log-continuity.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { type Instant, type Patience, parseAsOf, patienceOf, refuseFuture } from './as-of.ts'
import { type BoardPlace, beginning, createBoardMarks } from './board-marks.ts'
import { type Mark, readSegment, type Segment } from './board-segment.ts'
import type { ReadApiDependencies } from './dependencies.ts'

/** A mark is set after so many events of the log, and no question folds more of them beyond one. */
export const eventsPerMark = 5_000

/** Sales that cannot be read and are told of, each once. */
const mostTold = 1_000

type BoardInstant = Exclude<Instant, { by: 'revision' }>

/** The leaderboards at an instant. */
export interface BoardsThen {
  /** The instant as a time: of the last event by then where it was asked for by position. */
  readonly at: string
  top(query: TopQuery): Promise<readonly BoardPlace[]>
  currencies(query: Pick<TopQuery, 'board' | 'window' | 'at'>): Promise<readonly string[]>
}

/**
 * The leaderboards as they were, folded from the log: what was sold up to the last mark before an instant, and the events
 * since. Where there are no marks yet, questions set them, in turns: one folds, the others wait for it, and who has waited
 * long enough is told to come again. Every question leaves at least one mark more.
 *
 * @param interval events between two marks; default `eventsPerMark`
 */
export const createBoardHistory = (
  deps: Pick<ReadApiDependencies, 'store' | 'database' | 'clock' | 'metrics' | 'logger'>,
  interval: number = eventsPerMark,
) => {
  const { store, metrics } = deps
  const marks = createBoardMarks(deps.database)
  let preparing: Promise<void> | undefined
  const leftOut = new Set<bigint>()
  const warnOnce = ({ position, stream }: StoredEvent, error: Error): void => {
    if (leftOut.has(position) || leftOut.size >= mostTold) return
    leftOut.add(position)
    deps.logger?.warn(
      { position: String(position), stream, error: error.message },
      'a sale cannot be read: leaderboards of the past go without it',
    )
  }

  /** A mark is believed as long as the log has its last event: it may have been put back since. */
  const latestMark = async (instant: BoardInstant): Promise<Mark> => {
    const mark = await marks.latest(instant)
    if (!mark.last || (await holdsEvent(store, mark.last))) return mark
    await marks.forget()
    return beginning
  }

  const prepare = async (from: Mark, first: Segment, instant: BoardInstant, patience: Patience): Promise<void> => {
    let mark = await marks.add(from, first)
    while (mark && !patience.isOver()) {
      const segment = await readSegment(store, mark, instant, interval, warnOnce)
      if (!segment.whole) return
      mark = await marks.add(mark, segment)
    }
  }

  /** The last mark before an instant, and what follows it up to there. */
  const reach = async (instant: BoardInstant, patience: Patience): Promise<{ mark: Mark; segment: Segment }> => {
    for (let attempt = 0; ; attempt += 1) {
      const mark = await latestMark(instant)
      const segment = await readSegment(store, mark, instant, interval, warnOnce)
      if (!segment.whole) return { mark, segment }
      if (attempt > 0 && patience.isOver())
        throw new CommandRejected('history-in-preparation', { foldedUpTo: String(mark.last?.position ?? 0n) })
      // Whose folding fails has the error; who waited for it tries for himself.
      if (preparing !== undefined) await preparing.catch(() => undefined)
      else {
        preparing = prepare(mark, segment, instant, patience).finally(() => {
          preparing = undefined
        })
        await preparing
      }
    }
  }

  /**
   * @param asOf see the schema `AsOf`; a leaderboard has no revision
   * @param waitMs how long it may take when much of the log was never folded, milliseconds
   * @throws CommandRejected `board-without-revisions`, `in-the-future`; `history-in-preparation` when it took longer
   */
  return async (asOf: string, waitMs?: number): Promise<BoardsThen> => {
    const instant = parseAsOf(asOf)
    if (instant.by === 'revision') throw new CommandRejected('board-without-revisions', { asOf })
    await refuseFuture(deps, instant, asOf)
    const patience = patienceOf(waitMs)
    let { mark, segment } = await reach(instant, patience)
    metrics.asOfEvents.labels('leaderboard').observe(segment.events)

    /** Asks again from the log when the marks are forgotten between two steps. */
    const overMark = async <Answer>(question: () => Promise<Answer | undefined>): Promise<Answer> => {
      for (;;) {
        const answer = await question()
        if (answer !== undefined) return answer
        const reached = await reach(instant, patience)
        mark = reached.mark
        segment = reached.segment
      }
    }
    return {
      at: instant.by === 'time' ? instant.time : segment.recordedAt || new Date(0).toISOString(),
      top: (query) => overMark(() => marks.top(mark, segment.sold, query)),
      currencies: (query) => overMark(() => marks.currencies(mark, segment.sold, query)),
    }
  }
}
