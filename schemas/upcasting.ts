/** Event data as stored, before anybody vouches for its shape. */
export type StoredData = Readonly<Record<string, unknown>>

/** Turns the data of one stored version into that of the next. Pure. */
export interface Upcaster {
  readonly from: string
  readonly to: string
  readonly upcast: (data: StoredData) => StoredData
}

const parse = (name: string): { stem: string; version: number } => {
  const [, stem, version] = /^(.+)\.v([1-9]\d*)$/.exec(name) ?? []
  if (stem === undefined || version === undefined)
    throw new Error(`the stored name "${name}" does not end in a version such as ".v1"`)
  return { stem, version: Number(version) }
}

/** How to read each stored name: the newest name of its line and the way there. */
export type UpcastingTable = ReadonlyMap<
  string,
  { readonly newest: string; readonly upcast: (data: StoredData) => StoredData }
>

/**
 * Builds the table at start-up, once, so that a mistake in the chain stops the process and not an order.
 *
 * @param newestNames the stored names that are written today
 * @throws Error naming the duplicate, missing, cyclic or superfluous upcaster
 */
export const buildUpcastingTable = (newestNames: readonly string[], upcasters: readonly Upcaster[]): UpcastingTable => {
  const stepFrom = new Map<string, Upcaster>()
  for (const step of upcasters) {
    if (stepFrom.has(step.from)) throw new Error(`duplicate upcaster: two lead from "${step.from}"`)
    const from = parse(step.from)
    const to = parse(step.to)
    if (from.stem === to.stem && to.version <= from.version)
      throw new Error(`cyclic upcaster: "${step.from}" to "${step.to}" does not lead to a newer version`)
    if (from.stem !== to.stem || to.version !== from.version + 1)
      throw new Error(`upcaster "${step.from}" to "${step.to}" must lead to the next version of the same event`)
    stepFrom.set(step.from, step)
  }
  const table = new Map<string, { newest: string; upcast: (data: StoredData) => StoredData }>()
  for (const newest of newestNames) {
    const { stem, version } = parse(newest)
    if (table.has(newest)) throw new Error(`duplicate stored name "${newest}"`)
    if (stepFrom.has(newest)) throw new Error(`superfluous upcaster: "${newest}" is the newest version already`)
    let upcast = (data: StoredData): StoredData => data
    table.set(newest, { newest, upcast })
    for (let older = version - 1; older >= 1; older -= 1) {
      const step = stepFrom.get(`${stem}.v${older}`)
      if (!step) throw new Error(`missing upcaster: nothing leads from "${stem}.v${older}" to "${stem}.v${older + 1}"`)
      const next = upcast
      upcast = (data) => next(step.upcast(data))
      table.set(step.from, { newest, upcast })
      stepFrom.delete(step.from)
    }
  }
  for (const left of stepFrom.keys()) throw new Error(`superfluous upcaster: nobody reads "${left}"`)
  return table
}
