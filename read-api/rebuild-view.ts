import type { Generation, Rebuild, RebuildPlan } from '../projections/rebuild.ts'
import type { GenerationView, RebuildPlanView, RebuildProgress, RebuildView } from '../schemas/views.ts'

const percentOf = ({ state, eventsDone, eventsTotal }: Rebuild): number => {
  if (state === 'done') return 100
  if (eventsTotal === 0n) return 0
  return Math.min(100, Number((eventsDone * 100n) / eventsTotal))
}

/** The short form, for lists. */
export const toRebuildProgress = (rebuild: Rebuild): RebuildProgress => ({
  generation: rebuild.generation,
  phase: rebuild.phase,
  state: rebuild.state,
  percent: percentOf(rebuild),
})

/** @param head of the log; null while the event store does not answer */
export const toRebuildView = (rebuild: Rebuild, head: bigint | null): RebuildView => ({
  ...toRebuildProgress(rebuild),
  projection: rebuild.projection,
  run: rebuild.run,
  version: rebuild.version,
  eventsDone: String(rebuild.eventsDone),
  eventsTotal: String(rebuild.eventsTotal),
  position: String(rebuild.position),
  // The position may have moved on after the head was read.
  lagEvents: head === null ? null : String(head > rebuild.position ? head - rebuild.position : 0n),
  eventsPerSecond: rebuild.eventsPerSecond,
  secondsLeft: rebuild.secondsLeft,
  rowsVerified: rebuild.rowsVerified === null ? null : String(rebuild.rowsVerified),
  error: rebuild.error,
  operator: rebuild.operator,
  reason: rebuild.reason,
  startedAt: rebuild.startedAt,
  updatedAt: rebuild.updatedAt,
  finishedAt: rebuild.finishedAt,
})

export const toRebuildPlanView = (plan: RebuildPlan): RebuildPlanView => ({
  ...plan,
  eventsByType: Object.fromEntries(Object.entries(plan.eventsByType).map(([type, count]) => [type, String(count)])),
  eventsTotal: String(plan.eventsTotal),
  rowsExpected: plan.rowsExpected === null ? null : String(plan.rowsExpected),
})

export const toGenerationView = (
  { generation, version, state, createdAt, replacedAt }: Generation,
  parkedEventCount: number,
): GenerationView => ({ generation, version, state, createdAt, replacedAt, parkedEventCount })
