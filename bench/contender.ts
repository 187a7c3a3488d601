/** What one run of one contender gave. */
export interface Measured {
  /** Units done: events, commands, orders. */
  readonly done: number
  readonly seconds: number
  /** One per call; empty where the work is one piece. */
  readonly latenciesMs: readonly number[]
  /** Latencies of what is measured apart, by its name: each becomes a row of its own. */
  readonly partsMs?: ReadonlyMap<string, readonly number[]>
  /** Something worth a line under the table. */
  readonly note?: string
}

export interface Side {
  /** Does `count` units, or as many as its time allows. May prepare first; only the work itself is in the result. */
  run(count: number): Promise<Measured>
  close(): Promise<void>
}

export interface Bench {
  /** A fresh, empty database of its own on the one server that all contenders share. */
  createDatabase(name: string): Promise<{ readonly url: string }>
}

export interface Contender {
  readonly open: (bench: Bench) => Promise<Side>
  /** Units per round: enough to be steady, few enough to end. */
  readonly count: number
  /** Units done before the first round, unmeasured. Default: a tenth of `count`. */
  readonly warmUp?: number
  /** Default 3; the median counts. */
  readonly rounds?: number
}

export interface Row {
  readonly name: string
  readonly unit: string
  /** One line: what is compared with what. */
  readonly compares: string
  /** Why it cannot be run here; undefined when it can. */
  readonly skipped?: string | undefined
  /** No round is begun after so many seconds of its rounds, but for the first of each contender; default 40. */
  readonly seconds?: number
  readonly ours?: Contender
  readonly peer?: Contender
  readonly raw?: Contender
}
