import Table from 'cli-table3'
import type { Outcome, RowOutcome } from './run-row.ts'

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits))
const rate = (outcome: Outcome | undefined): number | null =>
  outcome ? rounded(outcome.rate, outcome.rate < 100 ? 1 : 0) : null
const milliseconds = (value: number | undefined): number | null => (value === undefined ? null : rounded(value, 2))

/** A row as `--json` writes it, and one for each of its parts; null where there is nothing to compare with. */
export const jsonOf = ({ row, ours, peer, raw }: RowOutcome) => [
  {
    row: row.name,
    ours: rate(ours),
    peer: rate(peer),
    raw: rate(raw),
    unit: row.unit,
    p50Ms: milliseconds(ours?.p50Ms),
    p99Ms: milliseconds(ours?.p99Ms),
  },
  ...(ours?.parts ?? []).map(({ name, samples, p50Ms, p99Ms }) => ({
    row: `${row.name}: ${name}`,
    samples,
    p50Ms: milliseconds(p50Ms),
    p99Ms: milliseconds(p99Ms),
  })),
]

const shown = (value: number | null): string => (value === null ? '-' : value.toLocaleString('en'))
const ratio = (a: Outcome | undefined, b: Outcome | undefined): string =>
  a && b ? `${(a.rate / b.rate).toPrecision(3)}x` : '-'
const latency = (of: Pick<Outcome, 'p50Ms' | 'p99Ms'> | undefined): string =>
  of?.p50Ms === undefined || of.p99Ms === undefined ? '-' : `${of.p50Ms.toFixed(1)} / ${of.p99Ms.toFixed(1)}`

/** The rows side by side, and below them one line each: what was compared with what. */
export const tableOf = (outcomes: readonly RowOutcome[]): string => {
  const pair = 'p50 / p99 ms'
  const table = new Table({
    head: [
      'row',
      'unit',
      'ours',
      'peer',
      'raw',
      'ours/peer',
      'ours/raw',
      `ours ${pair}`,
      `peer ${pair}`,
      `raw ${pair}`,
    ],
    colAligns: ['left', 'left', ...Array.from({ length: 8 }, () => 'right' as const)],
    style: { head: [], border: [] },
  })
  for (const { row, ours, peer, raw } of outcomes) {
    table.push([
      row.name,
      row.unit,
      shown(rate(ours)),
      shown(rate(peer)),
      shown(rate(raw)),
      ratio(ours, peer),
      ratio(ours, raw),
      latency(ours),
      latency(peer),
      latency(raw),
    ])
    for (const part of ours?.parts ?? []) table.push([`  ${part.name}`, '', '', '', '', '', '', latency(part), '', ''])
  }
  const lines = outcomes.flatMap(({ row, ours, peer, raw }) => [
    `${row.name}: ${row.compares}`,
    ...[ours, peer, raw].flatMap((outcome) => (outcome?.note ? [`  ${outcome.note}`] : [])),
  ])
  return [table.toString(), ...lines].join('\n')
}
