import Table from 'cli-table3'
import type { RebuildPlanView, RebuildView } from '../../schemas/views.ts'

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

/** `1,234,567`. */
export const count = (value: string | number): string =>
  number.format(typeof value === 'string' ? BigInt(value) : value)

/** `0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`. @param seconds not negative */
export const duration = (seconds: number): string => {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** `1,000 rows verified`, once some are. */
const verifiedOf = ({ rowsVerified }: RebuildView): string[] =>
  rowsVerified === null ? [] : [`${count(rowsVerified)} rows verified`]

/** `505 of 1,000 events`; nothing where no events are to be read, as in a swap back. */
const eventsOf = ({ eventsDone, eventsTotal }: RebuildView): string[] =>
  eventsTotal === '0' ? [] : [`${count(eventsDone)} of ${count(eventsTotal)} events`]

/** Why it does not go on. One that has failed waits for nothing but an operator, who is told when the picture has ended. */
const whyOf = ({ error, state }: RebuildView): string[] =>
  error === null ? [] : [state === 'failed' ? 'has failed' : `waits: ${error}`]

/** `loading, 505 of 1,000 events, 250/s, 2.0 s left`, what is verified and what it waits for. */
export const progressOf = (rebuild: RebuildView): string =>
  [
    rebuild.phase,
    ...eventsOf(rebuild),
    ...(rebuild.eventsPerSecond === null ? [] : [`${count(rebuild.eventsPerSecond)}/s`]),
    ...(rebuild.secondsLeft === null ? [] : [`${duration(rebuild.secondsLeft)} left`]),
    ...verifiedOf(rebuild),
    ...whyOf(rebuild),
  ].join(', ')

/** The same for who has little room beside a bar: `loading 505/1,000 250/s 2.0 s left`. */
export const shortProgressOf = (rebuild: RebuildView): string =>
  [
    ...whyOf(rebuild).map((why) => `${why};`),
    rebuild.phase,
    ...(rebuild.eventsTotal === '0' ? [] : [`${count(rebuild.eventsDone)}/${count(rebuild.eventsTotal)}`]),
    ...(rebuild.eventsPerSecond === null ? [] : [`${count(rebuild.eventsPerSecond)}/s`]),
    ...(rebuild.secondsLeft === null ? [] : [`${duration(rebuild.secondsLeft)} left`]),
    ...verifiedOf(rebuild),
  ].join(' ')

/** What has become of a rebuild, in a sentence or two that say what can be done next. */
export const outcomeOf = (rebuild: RebuildView): string => {
  const { projection, generation, phase, state, error, eventsDone, startedAt, finishedAt } = rebuild
  const subject = `${projection}: generation ${generation}`
  const next = `It stands where it was: go on with "orderlog rebuild ${projection} --resume", or remove it with "orderlog projections drop ${projection} ${generation}".`
  switch (state) {
    case 'done': {
      const seconds = (Date.parse(finishedAt ?? startedAt) - Date.parse(startedAt)) / 1_000
      const work = [...(eventsDone === '0' ? [] : [`${count(eventsDone)} events`]), ...verifiedOf(rebuild)]
      return `${subject} is live, ${duration(seconds)} after it was asked for${work.length === 0 ? '' : ` (${work.join(', ')})`}.`
    }
    case 'failed':
      return `${subject} has failed while ${phase}: ${error ?? 'no reason given'}. ${next}`
    case 'cancelled':
      return `${subject} was cancelled while ${phase}. ${next}`
    case 'dropped':
      return `${subject} was dropped.`
    case 'running':
      return `${subject} is being built: ${progressOf(rebuild)}.`
    default:
      return state satisfies never
  }
}

/** How to look again and how to cancel, of those that go on without us. */
export const goesOn = (rebuilds: readonly RebuildView[]): string => {
  const names = rebuilds.flatMap(({ projection, state }) => (state === 'running' ? [projection] : [])).join(' ')
  return `The rebuild goes on. Look again with "orderlog rebuild ${names} --follow", cancel with "orderlog rebuild ${names} --cancel".`
}

/** The events that a rebuild would read, by type, and what would come of them. */
export const planText = (plan: RebuildPlanView): string => {
  const events = new Table({
    head: ['event', 'count'],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right'],
  })
  for (const [type, each] of Object.entries(plan.eventsByType)) events.push([type, count(each)])
  events.push(['all', count(plan.eventsTotal)])
  const rows =
    plan.rowsExpected === null ? 'sums, whose number is not known before' : `${count(plan.rowsExpected)} rows`
  const time =
    plan.secondsExpected === null || plan.eventsPerSecond === null
      ? 'how long it takes is not known'
      : `about ${duration(plan.secondsExpected)} at ${count(plan.eventsPerSecond)} events/s`
  const { measured } = plan
  const failed = measured?.failed
    ? `\n${count(measured.failed)} of the first ${count(measured.events)} events could not be applied: they would be parked.`
    : ''
  return `${plan.projection}: generation ${plan.generation} would have ${rows}; ${time}.${failed}\n${events.toString()}`
}
