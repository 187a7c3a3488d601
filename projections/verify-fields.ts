import type { RecordedEvent } from '../schemas/envelope.ts'
import type { Reach } from './verify-log.ts'
import { canonical, type ExpectedRow } from './verify-model.ts'
import { eventsOfRow, type FoundRow, foldEvents, type RowRun } from './verify-run.ts'

interface Moment {
  readonly reach: Reach
  readonly skipped: ReadonlySet<bigint>
}

export interface FieldComparison {
  /** Rows whose streams have parked events. */
  readonly parkedKeys: ReadonlySet<string>
  eventsOf(key: string): Promise<RecordedEvent[]>
  /** @param expectedOf asked once for each row */
  rows(rows: readonly FoundRow[], expectedOf: (row: FoundRow) => Promise<ExpectedRow | undefined>): Promise<void>
  /** The log says that there is a row, and there was none. */
  absent(key: string): Promise<void>
}

/** Times that a difference is looked at again where rows are not read as of one moment. */
const looks = 3

/** Compares rows, field by field, as of one moment. */
export const createFieldComparison = (
  run: RowRun,
  moment: Moment & {
    readonly exact: boolean
    readonly parkedKeys: ReadonlySet<string>
    /** The row and the read model as they are now; undefined when the first look was as good as any. */
    readonly confirm: (key: string) => Promise<(Moment & { readonly row: FoundRow | undefined }) | undefined>
  },
): FieldComparison => {
  const { model, persons, tally, at } = run
  const streamOf = (key: string): string => {
    const origin = model.originOf(key)
    return 'stream' in origin ? origin.stream : ''
  }

  const eventsAt = (key: string, { reach, skipped }: Moment, row: FoundRow | undefined): Promise<RecordedEvent[]> => {
    const beyond = !moment.exact && row !== undefined && row.position > reach.upTo(streamOf(key))
    return eventsOfRow(run, key, reach, skipped, beyond ? row.position : undefined)
  }

  const wrongFields = async (
    row: FoundRow,
    expected: ExpectedRow,
    opened: Awaited<ReturnType<typeof persons.open>>[number],
    { reach, skipped }: Moment,
  ): Promise<{ plain: string[]; personal: readonly string[]; index: readonly string[] }> => {
    const personal = new Set(model.personal?.fields)
    const names = new Set([...Object.keys(expected.fields), ...Object.keys(row.fields)])
    return {
      plain: [...names].filter(
        (name) => !personal.has(name) && canonical(expected.fields[name]) !== canonical(row.fields[name]),
      ),
      personal: await persons.wrong(model, expected, row.fields, opened, reach, skipped),
      index: row.spoiled ?? [],
    }
  }

  /** The first event since which a field has never again been what was found. */
  const partings = (events: readonly RecordedEvent[], fields: readonly string[], row: FoundRow) => {
    const since = new Map<string, RecordedEvent>()
    let before: ExpectedRow | undefined
    for (const event of events) {
      before = model.fold(before, event)
      for (const field of fields)
        if (canonical(before?.fields[field]) === canonical(row.fields[field])) since.delete(field)
        else if (!since.has(field)) since.set(field, event)
    }
    return since
  }

  /** Compares what differed once more, as it is now. Undefined: it does not differ any more. */
  const again = async (key: string, first: Moment & { readonly row: FoundRow | undefined }) => {
    let last = first
    for (let look = 0; look < looks && !moment.exact; look += 1) {
      const now = await moment.confirm(key)
      if (!now) return last
      last = now
      if (now.row && at !== undefined && now.row.position > at) return undefined
      const expected = foldEvents(model, await eventsAt(key, now, now.row))
      if (!now.row && !expected) return undefined
      if (!now.row || !expected) continue
      const [person = null] = expected.sealed ? await persons.open([expected.sealed]) : []
      const wrong = await wrongFields(now.row, expected, person, now)
      if (wrong.plain.length + wrong.personal.length + wrong.index.length === 0) return undefined
    }
    return last
  }

  const report = async (key: string, first: Moment & { readonly row: FoundRow | undefined }): Promise<void> => {
    const last = await again(key, first)
    if (!last) return
    const { row } = last
    const events = tally.hasRoom() || !moment.exact ? await eventsAt(key, last, row) : []
    if (!row) return tally.missing(key, events.find((event) => model.fold(undefined, event)) ?? events[0])
    const expected = foldEvents(model, events.length > 0 ? events : await eventsAt(key, last, row))
    if (!expected) return tally.unexpected(key)
    const [person = null] = expected.sealed ? await persons.open([expected.sealed]) : []
    const { plain, personal, index } = await wrongFields(row, expected, person, last)
    const since = partings(events, plain, row)
    const begun = events[0]
    tally.differs(key, [
      ...plain.map((field) => ({
        field,
        expected: expected.fields[field],
        found: row.fields[field],
        event: since.get(field) ?? begun,
      })),
      ...personal.map((field) => ({ field, expected: null, found: null, withheld: 'personal' as const, event: begun })),
      ...index.map((field) => ({
        field,
        expected: null,
        found: null,
        withheld: 'index' as const,
        event: events.at(-1),
      })),
    ])
  }

  return {
    parkedKeys: moment.parkedKeys,
    eventsOf: (key) => eventsOfRow(run, key, moment.reach, moment.skipped),
    absent: (key) => report(key, { ...moment, row: undefined }),
    rows: async (rows, expectedOf) => {
      const pairs: { row: FoundRow; expected: ExpectedRow | undefined }[] = []
      for (const row of rows) {
        const expected = await expectedOf(row)
        if (at !== undefined && row.position > at) {
          tally.counts.movedOn += 1
          continue
        }
        tally.compared(1)
        const beyond = !moment.exact && row.position > moment.reach.upTo(streamOf(row.key))
        pairs.push({ row, expected: beyond ? foldEvents(model, await eventsAt(row.key, moment, row)) : expected })
      }
      const sealed = pairs.flatMap(({ expected }) => (expected?.sealed ? [expected.sealed] : []))
      const opened = new Map((await persons.open(sealed)).map((person, index) => [sealed[index], person]))
      for (const { row, expected } of pairs) {
        if (expected) {
          const person = opened.get(expected.sealed) ?? null
          const { plain, personal, index } = await wrongFields(row, expected, person, moment)
          if (plain.length + personal.length + index.length === 0) continue
        }
        await report(row.key, { ...moment, row })
      }
    },
  }
}
