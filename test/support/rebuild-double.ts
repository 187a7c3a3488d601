import type { Generation, Rebuild, RebuildPlan, RebuildService } from '../../projections/rebuild.ts'
import type { Stale } from '../../projections/stale.ts'

/** A rebuild that is half way, unless said otherwise. */
export const givenRebuild = (more: Partial<Rebuild> = {}): Rebuild => ({
  run: '0190a5f0-0000-7000-8000-000000000001',
  projection: 'order_details',
  generation: 2,
  version: 4,
  phase: 'loading',
  state: 'running',
  eventsTotal: 1_000n,
  eventsDone: 505n,
  position: 700n,
  eventsPerSecond: 250.5,
  secondsLeft: 2,
  rowsVerified: null,
  error: null,
  operator: 'eve',
  reason: null,
  startedAt: '2026-03-01T10:00:00.000Z',
  updatedAt: '2026-03-01T10:00:02.000Z',
  finishedAt: null,
  ...more,
})

export const givenPlan = (projection: string): RebuildPlan => ({
  projection,
  generation: 2,
  eventsByType: { 'order.cancelled.v1': 100n, 'order.placed.v2': 900n },
  eventsTotal: 1_000n,
  rowsExpected: 900n,
  eventsPerSecond: 250,
  secondsExpected: 4,
  measured: null,
})

/**
 * A rebuild service that answers what it was made with, and remembers what it was asked: `['cancel', 'sales', { … }]`.
 *
 * @param answers.refusal thrown by everything that is asked of it
 */
export const rebuildDouble = (
  answers: {
    readonly rebuilds?: readonly Rebuild[]
    readonly generations?: readonly Generation[]
    readonly stale?: readonly Stale[]
    readonly refusal?: Error
  } = {},
): RebuildService & { readonly asked: unknown[][] } => {
  const asked: unknown[][] = []
  const ask = (...question: unknown[]): void => {
    asked.push(question)
    if (answers.refusal) throw answers.refusal
  }
  const of = (projection: string): Rebuild => givenRebuild({ projection })
  return {
    asked,
    plan: async (names) => {
      ask('plan', names)
      return names.map(givenPlan)
    },
    start: async (names, who, options) => {
      ask('start', names, who, options)
      return names.map(of)
    },
    cancel: async (name, who) => {
      ask('cancel', name, who)
      return { ...of(name), state: 'cancelled' }
    },
    resume: async (name, who) => {
      ask('resume', name, who)
      return of(name)
    },
    swapBack: async (name, who) => {
      ask('swapBack', name, who)
      return { ...of(name), generation: 1 }
    },
    drop: async (name, generation, who) => ask('drop', name, generation, who),
    rebuilds: async (name) => (answers.rebuilds ?? []).filter((each) => name === undefined || each.projection === name),
    generations: async (name) =>
      (answers.generations ?? []).filter((each) => name === undefined || each.projection === name),
    stale: async () => answers.stale ?? [],
    reset: async (who) => {
      ask('reset', who)
      return (answers.stale ?? []).flatMap(({ projection, mend }) => (mend === 'reset' ? [projection] : []))
    },
  }
}
