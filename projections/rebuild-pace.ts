import { pause } from '../platform/pause.ts'

/** Lets the live feed go first. */
export interface Pace {
  /** How many events the next chunk should have. */
  chunkEvents(): number
  /** Rests after a piece of work, as long as others need the machine. */
  rest(workedMs: number, signal: AbortSignal): Promise<void>
}

/** With nobody else at work a chunk is large, as statements for many rows are cheap; otherwise it is short. */
const whole = 5_000
const short = 500
/** The log counts as quiet when nothing was appended for so long, milliseconds. */
const quietAfterMs = 2_000
/** How often is looked whether it is quiet, milliseconds. */
const lookEveryMs = 250
/** Nobody has looked for so long: it is not known, milliseconds. */
const knownForMs = 2_000
/** Rest per work while others are at work. */
const share = 1.5

/**
 * Work in bulk takes what the machine has. So while events are appended, and as long as it is not known whether they are, a
 * rebuild works in short pieces and rests half as long again as each of them took; when the log is quiet it does not rest.
 *
 * @param head the end of the log
 */
export const createPace = (head: () => Promise<bigint>, now: () => number = () => performance.now()): Pace => {
  let known: bigint | undefined
  let movedAt = Number.NEGATIVE_INFINITY
  let lookedAt = Number.NEGATIVE_INFINITY
  const isQuiet = (): boolean => now() - lookedAt < knownForMs && now() - movedAt >= quietAfterMs
  const look = async (): Promise<void> => {
    if (now() - lookedAt < lookEveryMs) return
    lookedAt = now()
    const end = await head()
    if (known === undefined || end > known) movedAt = now()
    known = end
  }
  return {
    chunkEvents: () => (isQuiet() ? whole : short),
    rest: async (workedMs, signal) => {
      await look()
      if (!isQuiet()) await pause(workedMs * share, signal)
    },
  }
}
