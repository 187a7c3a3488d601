import type { RecordedEvent } from '../schemas/envelope.ts'
import type { DomainEventType } from '../schemas/events.ts'
import type { PersonalData, Sealed } from '../schemas/primitives.ts'

/** A row as the log says that it should be. */
export interface ExpectedRow {
  /** Every column but the personal ones. */
  readonly fields: Readonly<Record<string, unknown>>
  /** What the personal columns are opened from. */
  readonly sealed?: Sealed
  readonly customerId?: string
}

/** Where the events of a row are: a stream, or one place in the log. */
export type RowOrigin = { readonly stream: string } | { readonly position: bigint }

/**
 * A read model whose rows are each folded from one stream, as plainly as possible and without a line of the
 * projection's own code: what both get wrong alike would never be found.
 */
export interface RowModel {
  readonly types: readonly DomainEventType[]
  keyOf(event: RecordedEvent): string | undefined
  originOf(key: string): RowOrigin
  /** Undefined: the events so far make no row. */
  fold(row: ExpectedRow | undefined, event: RecordedEvent): ExpectedRow | undefined
  /** Whether each row is made by one event: then not more than its digest is held. */
  readonly once?: true
  /** Columns that are in clear only as long as the person's key exists. */
  readonly personal?: {
    readonly fields: readonly string[]
    of(person: PersonalData | null, sealed: Sealed): Readonly<Record<string, unknown>>
  }
}

/** What one event adds to one sum. */
export interface Addition {
  readonly row: string
  readonly field: string
  readonly amount: bigint
}

/** A read model of sums over many streams. */
export interface SumModel {
  readonly types: readonly DomainEventType[]
  additionsOf(event: RecordedEvent): readonly Addition[]
  /** Rows that are read together; see `SumPortion`. */
  groupOf(row: string): string
  /** Rows that need not be there any more, though the log has something to say about them. */
  expired?(row: string): boolean
  /** Whether a row without any event is wrong even when all its sums are zero. */
  readonly strict?: true
}

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? String(value) : value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, sorted(member)]),
  )
}

/** A value as text that is equal for equal values: a bigint equals a number, and members may stand in any order. */
export const canonical = (value: unknown): string => {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  return JSON.stringify(sorted(value))
}

/** The columns that say which event a row was last written for. */
export const stampsOf = ({ revision, position }: RecordedEvent) => ({ revision, position })
