import { expect, test } from 'vitest'
import { toRebuildPlanView, toRebuildView } from '../../read-api/rebuild-view.ts'
import { givenPlan, givenRebuild } from '../../test/support/rebuild-double.ts'
import { notices } from './projections.ts'
import { count, duration, goesOn, outcomeOf, planText, progressOf, shortProgressOf } from './rebuild-text.ts'

const view = (more: Parameters<typeof givenRebuild>[0] = {}) => toRebuildView(givenRebuild(more), 800n)

test.each([
  [0, '0.0 s'],
  [9.94, '9.9 s'],
  [9.96, '10 s'],
  [59.4, '59 s'],
  [59.6, '1 min 00 s'],
  [125, '2 min 05 s'],
  [3_600, '1 h 00 min'],
  [200_000, '55 h 33 min'],
])('%d seconds are %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text)
})

test('counts beyond 2^53 stay exact', () => {
  expect(count('9007199254740993')).toBe('9,007,199,254,740,993')
})

test('progress says phase, events, rate and time left, and leaves out what is not known', () => {
  expect(progressOf(view())).toBe('loading, 505 of 1,000 events, 251/s, 2.0 s left')
  expect(progressOf(view({ eventsPerSecond: null, secondsLeft: null }))).toBe('loading, 505 of 1,000 events')
  expect(progressOf(view({ error: 'postgresql is away' }))).toContain('waits: postgresql is away')
  expect(progressOf(view({ error: 'disk full', state: 'failed' }))).toMatch(/, has failed$/)
})

test('rows are told as they are verified, beside a bar too; of a swap back there are no events to tell of', () => {
  const verifying = view({ phase: 'verifying', eventsDone: 1_000n, secondsLeft: null, rowsVerified: 1_205n })
  expect(progressOf(verifying)).toBe('verifying, 1,000 of 1,000 events, 251/s, 1,205 rows verified')
  expect(shortProgressOf(verifying)).toBe('verifying 1,000/1,000 251/s 1,205 rows verified')
  const back = view({ phase: 'swapping', eventsTotal: 0n, eventsDone: 0n, eventsPerSecond: null, secondsLeft: null })
  expect([progressOf(back), shortProgressOf(back)]).toEqual(['swapping', 'swapping'])
})

test('the outcome says what has become of it and what to do next', () => {
  const finishedAt = '2026-03-01T10:01:05.000Z'
  expect(outcomeOf(view({ state: 'done', phase: 'done', eventsDone: 1_200n, finishedAt }))).toBe(
    'order_details: generation 2 is live, 1 min 05 s after it was asked for (1,200 events).',
  )
  expect(outcomeOf(view({ state: 'done', phase: 'done', eventsDone: 1_200n, rowsVerified: 900n, finishedAt }))).toBe(
    'order_details: generation 2 is live, 1 min 05 s after it was asked for (1,200 events, 900 rows verified).',
  )
  const next =
    'go on with "orderlog rebuild order_details --resume", or remove it with "orderlog projections drop order_details 2".'
  expect(outcomeOf(view({ state: 'failed', error: 'disk full' }))).toBe(
    `order_details: generation 2 has failed while loading: disk full. It stands where it was: ${next}`,
  )
  expect(outcomeOf(view({ state: 'cancelled', phase: 'verifying' }))).toContain('was cancelled while verifying')
  expect(outcomeOf(view({ state: 'dropped' }))).toBe('order_details: generation 2 was dropped.')
})

test('only those that still run go on', () => {
  const sales = view({ projection: 'sales', state: 'done' })
  expect(goesOn([view(), sales])).toBe(
    'The rebuild goes on. Look again with "orderlog rebuild order_details --follow", cancel with "orderlog rebuild order_details --cancel".',
  )
})

test('a plan lists events by type, and says what it does not know', () => {
  const plan = toRebuildPlanView(givenPlan('sales'))
  expect(planText(plan)).toMatch(/^sales: generation 2 would have 900 rows; about 4\.0 s at 250 events\/s\.\n/)
  expect(planText(plan)).toMatch(/order\.placed\.v2 +│ +900 /)
  expect(planText(plan)).toMatch(/all +│ +1,000 /)
  const failing = planText({ ...plan, measured: { events: 1_000, failed: 3 } })
  expect(failing).toContain('events/s.\n3 of the first 1,000 events could not be applied: they would be parked.\n')
  expect(planText({ ...plan, measured: { events: 1_000, failed: 0 } })).toBe(planText(plan))
  const unknown = planText({ ...plan, rowsExpected: null, eventsPerSecond: null, secondsExpected: null })
  expect(unknown).toContain('would have sums, whose number is not known before; how long it takes is not known.')
})

test('notices name what is stale, what is rebuilt and what stands still; all in order gives none', () => {
  const rebuild = (state: 'running' | 'failed') => view({ state })
  expect(
    notices([
      { name: 'sales', generation: 1, stale: 'built by version 1, code is 2', rebuild: null },
      { name: 'order-fulfilment', generation: null, stale: 'its checkpoint is 9, the log ends at 8', rebuild: null },
      { name: 'order_details', generation: 1, stale: null, rebuild: rebuild('running') },
      { name: 'payments', generation: 1, stale: null, rebuild: rebuild('failed') },
      { name: 'catalogue', generation: 1, stale: null, rebuild: null },
    ]),
  ).toEqual([
    'sales is stale: built by version 1, code is 2. "orderlog rebuild sales" builds it anew.',
    'order-fulfilment is stale: its checkpoint is 9, the log ends at 8. "orderlog rebuild --stale" lets it begin anew.',
    'order_details is being rebuilt: generation 2, loading, 50 %.',
    'The rebuild of payments (generation 2) has failed while loading: "orderlog rebuild payments --resume", or "orderlog projections drop payments 2".',
  ])
})
