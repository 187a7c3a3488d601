import type { Standing } from '../platform/standing.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { LogReader, Reach } from './verify-log.ts'
import type { ExpectedRow, RowModel } from './verify-model.ts'
import type { PersonCheck } from './verify-persons.ts'
import type { Tally } from './verify-report.ts'
import { reading } from './verify-unreadable.ts'

/** A row as the read model has it. */
export interface FoundRow {
  readonly key: string
  /** Of the last event in it. */
  readonly position: bigint
  readonly fields: Readonly<Record<string, unknown>>
  /** What is kept beside the fields and is not what they make of it. */
  readonly spoiled?: readonly string[]
}

export interface RowPortion extends Standing {
  /** Otherwise rows may have come farther than the standing. */
  readonly exact: boolean
  readonly rows: readonly FoundRow[]
}

/** These rows, and some others at random. */
export interface RowPick {
  readonly ids: readonly string[]
  readonly random: number
}

/** Where the rows of a read model are. */
export interface RowSource {
  standing(): Promise<Standing>
  /** All rows, or those that are picked, portion by portion, at least one; all with the same standing. */
  scan(visit: (portion: RowPortion) => Promise<void>, pick?: RowPick): Promise<void>
  /** Of a source that is not exact: one row as it is at this moment. */
  look?(key: string): Promise<FoundRow | undefined>
  /** Puts rows right. @param fold what the log says of a key, and the events that say it */
  repair(
    keys: readonly string[],
    fold: (key: string, standing: Standing) => Promise<readonly RecordedEvent[]>,
  ): Promise<void>
}

export interface RowRun {
  readonly model: RowModel
  readonly source: RowSource
  readonly log: LogReader
  readonly persons: PersonCheck
  readonly partitionOf: ((stream: string) => number) | undefined
  readonly tally: Tally
  /** Compare as of this position what has not gone past it. */
  readonly at: bigint | undefined
  readonly sample: number | undefined
  /** Compare these keys only. */
  readonly only?: readonly string[] | undefined
  /** Keys that are held at once. */
  readonly mostHeld: number
}

/** What a run learns of where it stood. */
export interface RunPlace {
  position: bigint
  readonly parked: Set<string>
}

/**
 * The events that make a row up to a reach, without those that are parked.
 *
 * @param upTo instead of the reach
 * @throws UnreadableEvent
 */
export const eventsOfRow = async (
  { model, log }: Pick<RowRun, 'model' | 'log'>,
  key: string,
  reach: Reach,
  skipped: ReadonlySet<bigint>,
  upTo?: bigint,
): Promise<RecordedEvent[]> => {
  const events = await log.of(
    model.originOf(key),
    model.types,
    ({ position, stream }) => position <= (upTo ?? reach.upTo(stream)) && !skipped.has(position),
  )
  return events.filter((event) => reading(event, () => model.keyOf(event)) === key)
}

/** @throws UnreadableEvent */
export const foldEvents = (model: RowModel, events: readonly RecordedEvent[]): ExpectedRow | undefined =>
  events.reduce<ExpectedRow | undefined>((row, event) => reading(event, () => model.fold(row, event)), undefined)
