import Table from 'cli-table3'
import { createLogUpdate } from 'log-update'

/** One look at the running shop. */
export interface Snapshot {
  readonly seconds: number
  readonly target: number | undefined
  readonly acknowledged: number
  readonly refused: number
  readonly byStatus: Readonly<Record<string, number>>
  /** Reads of the same process, honest about how far they are behind the log. */
  readonly projections: readonly { readonly name: string; readonly state: string; readonly lagEvents: bigint }[]
  readonly best: readonly { readonly name: string; readonly units: string; readonly revenue: string }[]
  readonly head: bigint
  readonly url: string
}

const bar = (value: number, most: number, width = 24): string =>
  '█'.repeat(most === 0 ? 0 : Math.round((value / most) * width))

/** Tables without lines between the rows: the whole picture fits a small terminal. */
const table = (...head: string[]) =>
  new Table({
    head,
    style: { head: [], border: [], compact: true },
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  })
const right = (content: string) => ({ content, hAlign: 'right' }) as const

/** The snapshot as the terminal shows it. */
export const render = (snapshot: Snapshot): string => {
  const goal = snapshot.target === undefined ? '' : ` of ${snapshot.target}`
  const rate = snapshot.seconds === 0 ? 0 : snapshot.acknowledged / snapshot.seconds
  const statuses = table('orders now', 'count', '')
  const most = Math.max(0, ...Object.values(snapshot.byStatus))
  for (const status of ['placed', 'confirmed', 'shipped', 'delivered', 'cancelled']) {
    const count = snapshot.byStatus[status] ?? 0
    statuses.push([status, right(String(count)), bar(count, most).padEnd(24)])
  }
  const best = table('best sellers, all time', 'units', 'revenue')
  for (const row of snapshot.best) best.push([row.name, right(row.units), right(row.revenue)])
  const lag = table('read model', 'state', 'events behind', 'read model', 'state', 'events behind')
  const cells = snapshot.projections.map(({ name, state, lagEvents }) => [name, state, right(String(lagEvents))])
  for (let row = 0; row < cells.length; row += 2) lag.push([...(cells[row] ?? []), ...(cells[row + 1] ?? ['', '', ''])])
  return [
    `Orderlog demo   ${snapshot.acknowledged}${goal} orders taken, ${rate.toFixed(1)}/s, ${snapshot.refused} refused, log at ${snapshot.head}`,
    statuses.toString(),
    best.toString(),
    lag.toString(),
    `API ${snapshot.url}   Ctrl-C ends the day and audits the books`,
  ].join('\n')
}

/** A picture that updates in place on a terminal; a line now and then where there is none. */
export const createScreen = (stream: NodeJS.WriteStream) => {
  const update = createLogUpdate(stream)
  let lines = 0
  return {
    show: (snapshot: Snapshot): void => {
      if (stream.isTTY) {
        update(render(snapshot))
        return
      }
      // Not a terminal: one line per five looks.
      if (lines++ % 5 === 0)
        stream.write(
          `${snapshot.seconds.toFixed(0).padStart(4)} s  ${snapshot.acknowledged} orders  ${JSON.stringify(snapshot.byStatus)}  behind by ${Math.max(0, ...snapshot.projections.map((p) => Number(p.lagEvents)))} events\n`,
        )
    },
    done: (): void => update.done(),
  }
}
