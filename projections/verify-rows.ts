import { createHash } from 'node:crypto'
import { pause } from '../platform/pause.ts'
import { ReadModelReplaced } from '../platform/standing.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { type Bucket, createShare, everything } from './verify-buckets.ts'
import { createFieldComparison, type FieldComparison } from './verify-fields.ts'
import { hasGoneOn, nowhere, type ParkedEvent, type Reach, reachOf } from './verify-log.ts'
import { canonical, type ExpectedRow, type RowModel } from './verify-model.ts'
import { foldEvents, type RowPortion, type RowRun, type RunPlace } from './verify-run.ts'

const digestOf = (fields: ExpectedRow['fields']): string =>
  createHash('sha256').update(canonical(fields)).digest('base64url').slice(0, 22)

/**
 * Compares every row with the fold of its events.
 *
 * The log is folded up to where the read model stands, without a hurry; then the rows are read in one go, as of one
 * moment, and the fold led on to that moment. So what holds the moment open is short. When there are too many keys for
 * the memory, all of it is done again for each share of them.
 */
export const verifyRows = async (run: RowRun): Promise<RunPlace> => {
  const { model, source, log, partitionOf, tally, at } = run
  const place: RunPlace = { position: 0n, parked: new Set() }
  if (run.sample !== undefined || run.only) {
    await verifySome(run, place)
    return place
  }
  const shares: Bucket[] = [everything]
  for (let bucket = shares.pop(); bucket; bucket = shares.pop()) {
    const share = createShare<ExpectedRow | string>(bucket, run.mostHeld, (other) => shares.push(other))
    const put = (key: string, row: ExpectedRow | undefined) => {
      if (row) share.set(key, model.once ? digestOf(row.fields) : row)
      else share.held.delete(key)
    }
    const keep = (event: RecordedEvent): void => {
      const key = model.keyOf(event)
      if (key === undefined || !share.includes(key)) return
      const before = share.held.get(key)
      put(key, model.fold(typeof before === 'object' ? before : undefined, event))
    }
    const start = await source.standing()
    const began = reachOf(start, partitionOf, at)
    await log.between(nowhere, began, model.types, keep)
    let comparison: FieldComparison | undefined
    await source.scan(async (portion) => {
      if (!comparison) {
        if (!hasGoneOn(start, portion)) throw new ReadModelReplaced('the read model')
        const reach = reachOf(portion, partitionOf, at)
        await log.between(began, reach, model.types, keep)
        comparison = await enter(run, portion, reach, place)
        for (const key of comparison.parkedKeys)
          if (share.includes(key)) put(key, foldEvents(model, await comparison.eventsOf(key)))
      }
      const mine = portion.rows.filter((row) => share.includes(row.key))
      await comparison.rows(mine, async (row) => {
        const held = share.held.get(row.key)
        share.held.delete(row.key)
        if (typeof held !== 'string') return held
        // Only its digest was kept: equal, or folded again to see what differs.
        if (held === digestOf(row.fields)) return { fields: row.fields }
        return foldEvents(model, (await comparison?.eventsOf(row.key)) ?? [])
      })
    })
    for (const key of share.held.keys()) await comparison?.absent(key)
  }
  tally.compared(tally.counts.missing)
  return place
}

/** Rows that are named or chosen at random, each folded from its own stream. */
const verifySome = async (run: RowRun, place: RunPlace): Promise<void> => {
  const { model, source, log, partitionOf, tally, at, only } = run
  const random = only ? 0 : (run.sample ?? 0)
  const ids = new Set(only)
  await log.atRandom(random, model.types, (event) => {
    const key = model.keyOf(event)
    if (key !== undefined) ids.add(key)
  })
  const seen = new Set<string>()
  let comparison: FieldComparison | undefined
  await source.scan(
    async (portion) => {
      comparison ??= await enter(run, portion, reachOf(portion, partitionOf, at), place)
      for (const row of portion.rows) seen.add(row.key)
      await comparison.rows(portion.rows, async (row) => foldEvents(model, (await comparison?.eventsOf(row.key)) ?? []))
    },
    { ids: [...ids], random },
  )
  for (const key of ids) {
    if (seen.has(key) || !comparison) continue
    if (foldEvents(model, await comparison.eventsOf(key))) await comparison.absent(key)
  }
  tally.compared(tally.counts.missing)
}

/** Of one that does not even tell its row nothing was folded. */
const keyOfParked = (model: RowModel, { event }: ParkedEvent): string | undefined => {
  try {
    return event && model.keyOf(event)
  } catch {
    return undefined
  }
}

/** Begins to compare at a standing: learns what is parked there. */
const enter = async (run: RowRun, portion: RowPortion, reach: Reach, place: RunPlace): Promise<FieldComparison> => {
  const { model, log, source } = run
  log.refuseUnread(reach, portion.skipped)
  const parkedKeys = new Set<string>()
  for (const position of portion.skipped) {
    const parked = await log.parked(position, model.types)
    if (!parked || position > reach.upTo(parked.stream)) continue
    place.parked.add(parked.stream)
    const key = keyOfParked(model, parked)
    if (key !== undefined) parkedKeys.add(key)
  }
  if (place.position === 0n) place.position = reach.least
  return createFieldComparison(run, {
    reach,
    skipped: new Set(portion.skipped),
    exact: portion.exact,
    parkedKeys,
    confirm: async (key) => {
      if (!source.look) return undefined
      await pause(100)
      const standing = await source.standing()
      return {
        row: await source.look(key),
        reach: reachOf(standing, run.partitionOf, run.at),
        skipped: new Set(standing.skipped),
      }
    },
  })
}
