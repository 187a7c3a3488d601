import type { RecordedEvent } from '../schemas/envelope.ts'
import { canonical } from './verify-model.ts'

/** Where a row or one of its fields is not what the log says. */
export interface Difference {
  /** Order id, SKU; of a timeline the order id and the position; of sales the day and the currency; of leaderboards the board and the member. */
  readonly key: string
  /** `missing`: the log has it, the read model has not. `unexpected`: the other way round. */
  readonly kind: 'missing' | 'unexpected' | 'differs'
  /** Null for a whole row. */
  readonly field: string | null
  /** As text; null when it is not for everybody's eyes. */
  readonly expected: string | null
  readonly found: string | null
  /** Why there is no text. */
  readonly withheld?: 'personal' | 'secret' | 'index'
  /** The first event since which both have differed all the time; null when the log says nothing of the row. */
  readonly since: {
    readonly position: bigint
    readonly stream: string
    readonly revision: bigint
    readonly type: string
  } | null
}

/** What a verification found. */
export interface VerifyReport {
  readonly projection: string
  readonly generation: number | null
  /** Everything was compared as of this position, or later where it stood further. */
  readonly position: bigint
  /** Of rows and streams that were chosen at random; null when all were compared. */
  readonly sample: number | null
  /** Events that were folded. */
  readonly events: number
  /** Rows, sums or documents that were compared. */
  readonly compared: number
  /** Rows of which nothing was said, as they had gone past the position asked for. */
  readonly movedOn: number
  /** Streams that were expected only as far as their parked events. */
  readonly parkedStreams: number
  readonly missing: number
  readonly unexpected: number
  readonly differing: number
  /** Of all that differs; the first 100 in `differences`. */
  readonly differenceCount: number
  readonly differences: readonly Difference[]
  readonly seconds: number
  /** When a repair was asked for: rows that were repaired, and what differed before. */
  readonly repaired: { readonly rows: number; readonly differences: readonly Difference[] } | null
}

/** Differences that are told one by one. */
export const mostDifferences = 100
/** Keys that can be repaired one by one; a read model that is wrong in more is rebuilt. */
export const mostRepairs = 10_000
const mostCharacters = 200

const secretMembers = new Set(['personal', 'paymentToken', 'gatewayKey', 'gatewayReference', 'ciphertext'])
/** Columns that are nobody's business, though they are compared. */
const secretFields = new Set(['gateway_reference'])

const redacted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(redacted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, secretMembers.has(name) ? '(withheld)' : redacted(member)]),
  )
}

const shown = (value: unknown): string => {
  const text = typeof value === 'string' ? value : canonical(redacted(value))
  return text.length > mostCharacters ? `${text.slice(0, mostCharacters)}...` : text
}

export const sinceOf = (event: RecordedEvent | undefined): Difference['since'] =>
  event ? { position: event.position, stream: event.stream, revision: event.revision, type: event.type } : null

/**
 * Counts what was compared and keeps the first differences.
 *
 * @param onCompared told, now and then, how many have been compared so far
 */
export const createTally = (onCompared: (rows: number) => void = () => undefined) => {
  const counts = { compared: 0, movedOn: 0, missing: 0, unexpected: 0, differing: 0, differenceCount: 0 }
  const differences: Difference[] = []
  const keys = new Set<string>()
  const note = (difference: Difference): void => {
    counts.differenceCount += 1
    if (differences.length < mostDifferences) differences.push(difference)
  }
  const remember = (key: string): void => {
    if (keys.size <= mostRepairs) keys.add(key)
  }
  return {
    counts,
    differences,
    /** What differs, `mostRepairs` and one at most. */
    keys,
    compared: (rows: number): void => {
      counts.compared += rows
      onCompared(counts.compared)
    },
    /** Whether one more difference would be told, and is worth looking for its event. */
    hasRoom: (): boolean => differences.length < mostDifferences,
    missing: (key: string, event: RecordedEvent | undefined): void => {
      counts.missing += 1
      remember(key)
      note({ key, kind: 'missing', field: null, expected: 'a row', found: 'nothing', since: sinceOf(event) })
    },
    unexpected: (key: string): void => {
      counts.unexpected += 1
      remember(key)
      note({ key, kind: 'unexpected', field: null, expected: 'nothing', found: 'a row', since: null })
    },
    /** @param withheld by field: it is said to differ and nothing more */
    differs: (
      key: string,
      fields: readonly {
        readonly field: string
        readonly expected: unknown
        readonly found: unknown
        readonly withheld?: Difference['withheld']
        readonly event: RecordedEvent | undefined
      }[],
    ): void => {
      counts.differing += 1
      remember(key)
      for (const { field, expected, found, event, ...rest } of fields) {
        const withheld = rest.withheld ?? (secretFields.has(field) ? 'secret' : undefined)
        const since = sinceOf(event)
        if (withheld) note({ key, kind: 'differs', field, expected: null, found: null, withheld, since })
        else note({ key, kind: 'differs', field, expected: shown(expected), found: shown(found), since })
      }
    },
  }
}

export type Tally = ReturnType<typeof createTally>
