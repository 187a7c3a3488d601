import type { Bench, Contender, Measured, Row, Side } from './contender.ts'
import { median, percentile } from './measure.ts'

/** Something measured apart within a row. */
export interface Part {
  readonly name: string
  readonly samples: number
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
}

export interface Outcome {
  /** Units per second, the median of the rounds. */
  readonly rate: number
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  readonly note: string | undefined
  readonly parts: readonly Part[]
}

export interface RowOutcome {
  readonly row: Row
  readonly ours: Outcome | undefined
  readonly peer: Outcome | undefined
  readonly raw: Outcome | undefined
}

/** See `Row`. */
const rowSeconds = 40

interface Runner {
  readonly contender: Contender
  readonly side: Side
  readonly measured: Measured[]
}

const start = async (contender: Contender | undefined, bench: Bench): Promise<Runner | undefined> => {
  if (!contender) return undefined
  const side = await contender.open(bench)
  const warmUp = contender.warmUp ?? Math.ceil(contender.count / 10)
  if (warmUp > 0) await side.run(warmUp)
  return { contender, side, measured: [] }
}

const partsOf = (measured: readonly Measured[]): Part[] => {
  const names = new Set(measured.flatMap(({ partsMs }) => [...(partsMs?.keys() ?? [])]))
  return [...names].map((name) => {
    const values = measured.flatMap(({ partsMs }) => partsMs?.get(name) ?? [])
    return { name, samples: values.length, p50Ms: percentile(values, 0.5), p99Ms: percentile(values, 0.99) }
  })
}

const outcome = (runner: Runner | undefined): Outcome | undefined => {
  if (!runner) return undefined
  const latencies = runner.measured.flatMap((measured) => measured.latenciesMs)
  return {
    rate: median(runner.measured.map((measured) => measured.done / measured.seconds)) ?? 0,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    note: runner.measured.at(-1)?.note,
    parts: partsOf(runner.measured),
  }
}

/** Runs the contenders of a row in turns, so that whatever slows the machine for a while slows all of them. */
export const runRow = async (row: Row, bench: Bench): Promise<RowOutcome> => {
  const runners: Runner[] = []
  try {
    const open = async (contender: Contender | undefined) => {
      const runner = await start(contender, bench)
      if (runner) runners.push(runner)
      return runner
    }
    const ours = await open(row.ours)
    const peer = await open(row.peer)
    const raw = await open(row.raw)
    const begun = performance.now()
    for (let round = 0; runners.some((runner) => round < (runner.contender.rounds ?? 3)); round += 1) {
      if (round > 0 && performance.now() - begun > (row.seconds ?? rowSeconds) * 1000) break
      for (const { contender, side, measured } of runners)
        if (round < (contender.rounds ?? 3)) measured.push(await side.run(contender.count))
    }
    return { row, ours: outcome(ours), peer: outcome(peer), raw: outcome(raw) }
  } finally {
    for (const runner of runners) await runner.side.close()
  }
}
