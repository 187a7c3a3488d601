import { ReadModelReplaced, type Standing } from '../platform/standing.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { type Bucket, createShare, everything } from './verify-buckets.ts'
import { hasGoneOn, type LogReader, nowhere, type ParkedEvent, type Reach, reachOf } from './verify-log.ts'
import type { Addition, SumModel } from './verify-model.ts'
import type { Tally } from './verify-report.ts'
import type { RunPlace } from './verify-run.ts'
import { partSums, type WrongSum } from './verify-sum-partings.ts'

export type Sums = Readonly<Record<string, bigint>>

/** Sums as they were at one moment. */
export interface SumPortion extends Standing {
  readonly rows: readonly { readonly row: string; readonly sums: Sums }[]
  /** Groups of which these are all rows; `rest`: whatever no portion has shown is not there. */
  readonly whole: readonly string[] | 'rest'
}

/** Where the sums of a read model are. */
export interface SumSource {
  standing(): Promise<Standing>
  /** Portions later in the scan stand at the same place or farther; the last is `rest`. */
  scan(visit: (portion: SumPortion) => Promise<void>): Promise<void>
  /** Before sums are read that are to be corrected. */
  prepare?(): Promise<void>
  /** Adds to rows what they lack. @param wrong what is right and what was found; `drop`: the row should not be there */
  correct(wrong: ReadonlyMap<string, WrongSum>): Promise<void>
}

/** The sums do not stand at the very position that was asked for. */
export class SumsElsewhere extends Error {}

export interface SumRun {
  readonly model: SumModel
  readonly source: SumSource
  readonly log: LogReader
  readonly partitionOf: ((stream: string) => number) | undefined
  readonly tally: Tally
  readonly at: bigint | undefined
  readonly mostHeld: number
}

const add = (rows: { get(row: string): Sums | undefined }, row: string, field: string, amount: bigint): Sums => {
  const before = rows.get(row) ?? {}
  return { ...before, [field]: (before[field] ?? 0n) + amount }
}

/** What the parked events would have added: they are in the log, and not in the sums. */
const createParked = (run: SumRun, place: RunPlace) => {
  const events = new Map<bigint, ParkedEvent | undefined>()
  const additionsOf = ({ event }: ParkedEvent): readonly Addition[] => {
    try {
      return event ? run.model.additionsOf(event) : []
    } catch {
      // Nothing was added of it here either.
      return []
    }
  }
  return async (skipped: readonly bigint[], reach: Reach): Promise<Map<string, Sums>> => {
    const sums = new Map<string, Sums>()
    for (const position of skipped) {
      if (!events.has(position)) events.set(position, await run.log.parked(position, run.model.types))
      const parked = events.get(position)
      if (!parked || position > reach.upTo(parked.stream)) continue
      place.parked.add(parked.stream)
      for (const { row, field, amount } of additionsOf(parked)) sums.set(row, add(sums, row, field, amount))
    }
    return sums
  }
}

/**
 * Compares every sum with what the log adds up to. As with rows, the log is folded up to where the read model stands
 * before anything is read; each portion is then compared as of its own moment, to which the fold is led on.
 *
 * @returns the sums that are wrong
 */
export const verifySums = async (
  run: SumRun,
): Promise<RunPlace & { readonly wrong: ReadonlyMap<string, WrongSum> }> => {
  const { model, source, log, partitionOf, tally, at } = run
  const place: RunPlace = { position: 0n, parked: new Set() }
  const parkedSums = createParked(run, place)
  const wrong = new Map<string, WrongSum>()
  const expired = (row: string): boolean => model.expired?.(row) ?? false
  const shares: Bucket[] = [everything]
  for (let bucket = shares.pop(); bucket; bucket = shares.pop()) {
    const share = createShare<Sums>(bucket, run.mostHeld, (other) => shares.push(other))
    const keep = (event: RecordedEvent): void => {
      for (const { row, field, amount } of model.additionsOf(event))
        if (share.includes(row)) share.set(row, add(share.held, row, field, amount))
    }
    let standing: Standing = await source.standing()
    let reach = reachOf(standing, partitionOf)
    await log.between(nowhere, reach, model.types, keep)
    const shown = new Set<string>()

    const compare = (row: string, found: Sums | undefined, parked: ReadonlyMap<string, Sums>, portion: SumPortion) => {
      if (expired(row)) return
      const held = share.held.get(row)
      const less = parked.get(row) ?? {}
      const expected = Object.fromEntries(
        Object.keys({ ...held, ...found }).map((field) => [field, (held?.[field] ?? 0n) - (less[field] ?? 0n)]),
      )
      const fields = Object.keys(expected).filter((field) => expected[field] !== (found?.[field] ?? 0n))
      const { generation } = portion
      const stray = found !== undefined && held === undefined && (model.strict === true || fields.length > 0)
      tally.compared(1)
      if (fields.length > 0 || stray)
        wrong.set(row, {
          expected: held && expected,
          found,
          fields,
          reach,
          skipped: new Set(portion.skipped),
          generation,
        })
    }

    await source.scan(async (portion) => {
      if (!hasGoneOn(standing, portion)) throw new ReadModelReplaced('the read model')
      const next = reachOf(portion, partitionOf)
      if (at !== undefined && (next.least !== at || next.most !== at)) throw new SumsElsewhere(String(next.least))
      await log.between(reach, next, model.types, keep)
      standing = portion
      reach = next
      log.refuseUnread(reach, portion.skipped)
      if (place.position === 0n) place.position = reach.least
      const parked = await parkedSums(portion.skipped, reach)
      for (const { row, sums } of portion.rows) {
        if (!share.includes(row)) continue
        compare(row, sums, parked, portion)
        shown.add(row)
      }
      const groups = portion.whole === 'rest' ? undefined : new Set(portion.whole)
      if (groups?.size === 0) return
      for (const row of share.held.keys()) {
        if (shown.has(row) || (groups && !groups.has(model.groupOf(row)))) continue
        compare(row, undefined, parked, portion)
        shown.add(row)
      }
    })
  }
  await partSums(run, wrong)
  return { ...place, wrong }
}
