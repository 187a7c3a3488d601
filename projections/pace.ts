import { pause } from '../platform/pause.ts'

/** Lets the live feed go first. */
export interface Pace {
  /** How many events the next chunk should have. */
  chunkEvents(): number
  /** How many events of each writer are written together; 0: every chunk by itself. */
  windowEvents(): number
  /** Rests after a piece of work, as long as others need the machine. */
  rest(workedMs: number, signal: AbortSignal): Promise<void>
  /** For a pace in another thread. */
  known?(): PaceKnowledge
}

/** What was seen of the log; times as milliseconds since 1970. */
export interface PaceKnowledge {
  readonly end: bigint
  readonly lookedAt: number
  /** When it was last seen to have grown. */
  readonly movedAt: number
  readonly wasQuiet: boolean
}

/** With nobody else at work a chunk is large, for all threads together, as statements for many rows are cheap; otherwise it is short. */
const whole = 5_000
const short = 250
/** Rows are written less often the larger a window is, and kept in memory until then. */
const window = 20_000
/** The log counts as quiet when nothing was appended for so long, milliseconds. */
const quietAfterMs = 2_000
/** How often is looked whether it is quiet, milliseconds. */
const lookEveryMs = 250
/** Nobody has looked for so long: it is not known, and the next look is a first one, milliseconds. */
const knownForMs = 2_000
/** Of the time of one processor, while others are at work: one part of three. */
const parts = 3

/**
 * Work in bulk takes what the machine has. So while events are appended, and as long as it is not known whether they are, whoever
 * rebuilds or verifies works in short pieces and rests twice as long as each of them took (several threads rest as long together); when the log
 * is quiet it does not rest.
 *
 * @param head the end of the log
 * @param options.threads that work at the same time, each with a pace of its own
 * @param options.known by whoever has looked before
 * @param options.now milliseconds since 1970, of a clock that does not go back
 */
export const createPace = (
  head: () => Promise<bigint>,
  options: {
    readonly threads?: number
    readonly known?: PaceKnowledge | undefined
    readonly now?: () => number
  } = {},
): Pace => {
  const { threads = 1, known, now = () => performance.timeOrigin + performance.now() } = options
  let end = known?.end ?? 0n
  let movedAt = known?.movedAt ?? Number.NEGATIVE_INFINITY
  let lookedAt = known?.lookedAt ?? Number.NEGATIVE_INFINITY
  // As was seen at the last look: what has happened since is for the next one to tell.
  let wasQuiet = known?.wasQuiet ?? false
  const isQuiet = (): boolean => wasQuiet && now() - lookedAt < knownForMs
  const look = async (): Promise<void> => {
    if (now() - lookedAt < lookEveryMs) return
    const isFirst = now() - lookedAt >= knownForMs
    lookedAt = now()
    const found = await head()
    // Whoever has not looked before does not know how long it has been quiet: until the next look, it counts as moving.
    if (isFirst) movedAt = now() - quietAfterMs + lookEveryMs
    else if (found > end) movedAt = now()
    wasQuiet = !isFirst && now() - movedAt >= quietAfterMs
    end = found
  }
  return {
    known: () => ({ end, lookedAt, movedAt, wasQuiet }),
    chunkEvents: () => (isQuiet() ? Math.ceil(whole / threads) : short),
    windowEvents: () => (isQuiet() ? window : 0),
    rest: async (workedMs, signal) => {
      await look()
      if (!isQuiet()) await pause(workedMs * (parts * threads - 1), signal)
    },
  }
}
