import type { RecordedEvent } from '../schemas/envelope.ts'
import { type LogReader, nowhere, type Reach } from './verify-log.ts'
import type { SumModel } from './verify-model.ts'
import { mostDifferences, type Tally } from './verify-report.ts'

type Sums = Readonly<Record<string, bigint>>

/** A row of sums that is not what the log adds up to. */
export interface WrongSum {
  /** Undefined: no event has to do with the row. */
  readonly expected: Sums | undefined
  /** Undefined: there is no such row. */
  readonly found: Sums | undefined
  readonly fields: readonly string[]
  readonly reach: Reach
  readonly skipped: ReadonlySet<bigint>
  readonly generation: number | undefined
}

/**
 * Tells what is wrong with sums, and since which event: the log is read once more for it, when there is anything to tell.
 */
export const partSums = async (
  { model, log, tally }: { readonly model: SumModel; readonly log: LogReader; readonly tally: Tally },
  wrong: ReadonlyMap<string, WrongSum>,
): Promise<void> => {
  const told = new Map([...wrong].slice(0, mostDifferences))
  const running = new Map<string, Map<string, bigint>>()
  const first = new Map<string, RecordedEvent>()
  const since = new Map<string, Map<string, RecordedEvent>>()
  const follow = (event: RecordedEvent): void => {
    for (const { row, field, amount } of model.additionsOf(event)) {
      const one = told.get(row)
      if (!one || event.position > one.reach.upTo(event.stream) || one.skipped.has(event.position)) continue
      if (!first.has(row)) first.set(row, event)
      const sums = running.get(row) ?? new Map<string, bigint>()
      running.set(row, sums.set(field, (sums.get(field) ?? 0n) + amount))
      const parted = since.get(row) ?? new Map<string, RecordedEvent>()
      since.set(row, parted)
      if (sums.get(field) === (one.found?.[field] ?? 0n)) parted.delete(field)
      else if (!parted.has(field)) parted.set(field, event)
    }
  }
  const farthest = [...told.values()].reduce<Reach | undefined>(
    (most, { reach }) => (!most || reach.most > most.most ? reach : most),
    undefined,
  )
  if (farthest) await log.between(nowhere, farthest, model.types, follow)

  for (const [row, { expected, found, fields }] of wrong) {
    if (!expected) tally.unexpected(row)
    else if (!found) tally.missing(row, first.get(row))
    else
      tally.differs(
        row,
        fields.map((field) => ({
          field,
          expected: expected[field],
          found: found[field] ?? 0n,
          event: since.get(row)?.get(field) ?? first.get(row),
        })),
      )
  }
}
