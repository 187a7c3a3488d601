/** An event as a client proposes it. */
export interface Proposed {
  readonly id: string
  readonly type: string
  readonly contentType: string
  readonly data: Uint8Array
  readonly metadata: Uint8Array
}

/** An event as the log of the test server holds it. */
export interface Recorded extends Proposed {
  readonly stream: string
  readonly revision: bigint
  /** Commit and prepare position of the event. Like those of a real node they are byte offsets: ascending, with gaps. */
  readonly position: bigint
  /** Milliseconds since 1970. */
  readonly created: number
}

export type Expected = bigint | 'none' | 'any' | 'exists'

export type Verdict =
  | { readonly verdict: 'write' | 'wrong-version' | 'deleted' }
  | { readonly verdict: 'repeat'; readonly last: Recorded }

/** One stream of the test server: its events, its metadata (`$maxCount`, `$tb`) and a node's rules about appends. */
export interface StreamState {
  last(): Recorded | undefined
  isSoftDeleted(): boolean
  isTombstoned(): boolean
  /** What readers are shown: without what metadata has cut off. Empty for a stream that has none or is deleted. */
  visible(): readonly Recorded[]
  /**
   * What a node decides about an append.
   *
   * @param committed finds an event of this stream among those that the node has written since it started
   */
  judge(expected: Expected, ids: readonly string[], committed: (id: string) => Recorded | undefined): Verdict
  record(event: Recorded): void
  /** Takes the metadata event of this stream into account. */
  configure(metadata: Recorded): void
}

const write: Verdict = { verdict: 'write' }
const wrongVersion: Verdict = { verdict: 'wrong-version' }

/** Soft deletion sets `$tb` to the greatest revision there is. */
const beyondEverything = 2 ** 63

export const streamState = (): StreamState => {
  const events: Recorded[] = []
  let truncateBefore = 0
  let maxCount = Number.POSITIVE_INFINITY
  let tombstoned = false

  const isSoftDeleted = () => truncateBefore >= beyondEverything

  const judgeAny = (ids: readonly string[], committed: (id: string) => Recorded | undefined): Verdict => {
    let last: Recorded | undefined
    for (const [index, id] of ids.entries()) {
      const known = committed(id)
      if (!known) return index === 0 ? write : wrongVersion
      last = known
    }
    return last ? { verdict: 'repeat', last } : write
  }

  const judgeRepeat = (first: number, ids: readonly string[], expected: Expected): Verdict => {
    let last: Recorded | undefined
    for (const [index, id] of ids.entries()) {
      const found = events[first + index]
      if (found?.id === id) last = found
      else return index === 0 && expected === 'none' && isSoftDeleted() ? write : wrongVersion
    }
    return last ? { verdict: 'repeat', last } : wrongVersion
  }

  return {
    last: () => events.at(-1),
    isSoftDeleted,
    isTombstoned: () => tombstoned,
    visible: () =>
      tombstoned ? [] : events.slice(Math.min(events.length, Math.max(truncateBefore, events.length - maxCount))),
    judge: (expected, ids, committed) => {
      if (tombstoned) return { verdict: 'deleted' }
      if (expected === 'exists' && (events.length === 0 || isSoftDeleted())) return wrongVersion
      if (expected === 'any' || expected === 'exists') return judgeAny(ids, committed)
      const next = expected === 'none' ? 0 : Number(expected) + 1
      if (next === events.length) return write
      return next > events.length ? wrongVersion : judgeRepeat(next, ids, expected)
    },
    record: (event) => {
      events.push(event)
      tombstoned ||= event.type === '$streamDeleted'
    },
    configure: ({ data }) => {
      const settings = JSON.parse(Buffer.from(data).toString('utf8')) as { $tb?: number; $maxCount?: number }
      truncateBefore = settings.$tb ?? 0
      maxCount = settings.$maxCount ?? Number.POSITIVE_INFINITY
    },
  }
}
