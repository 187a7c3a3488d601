import { describe, expect, test } from 'vitest'
import { cancelled, deadlines, given, orderId, placed, shipped, startedAt } from '../test/support/given-fulfilment.ts'
import { observe } from './fulfilment.ts'
import { NewerSagaVersion, next, statusOf, timersOf } from './next-steps.ts'

const failed = { outcome: 'failed', error: 'payment-outcome-unknown' } as const
const declined = { outcome: 'refused', reason: 'insufficient funds' } as const
const outOfStock = { outcome: 'refused', reason: 'out-of-stock' } as const
const nudge = { type: 'Nudge' } as const

const reserved = () => given('a', 'b').when(['reserve:a', 'done'], ['reserve:b', 'done'])
const authorised = () => reserved().when(['authorise', 'done'])
const confirmed = () => authorised().when(['confirm', 'done'])
const typesOf = ({ events }: { events: readonly { type: string }[] }) => events.map((event) => event.type)

describe('forward', () => {
  test('an order placed begins an instance with version and deadlines, and reserves every SKU at once', () => {
    const begun = given('a', 'b')
    expect(begun.events).toMatchObject([
      {
        type: 'FulfilmentStarted',
        data: {
          orderId,
          sagaVersion: 2,
          reservationDeadline: '2026-11-21T09:31:00.000Z',
          authorisationDeadline: '2026-11-21T09:35:00.000Z',
        },
      },
    ])
    expect(begun.steps).toEqual(['reserve:a', 'reserve:b'])
  })

  test('lines of one SKU are one reservation', () => {
    expect(given('a', 'a').state.lines).toEqual([{ sku: 'a', quantity: 4, status: 'pending' }])
  })

  test('nothing is authorised before all is reserved', () => {
    expect(given('a', 'b').when(['reserve:a', 'done']).steps).toEqual(['reserve:b'])
    expect(reserved().steps).toEqual(['authorise'])
  })

  test('authorised, the order is confirmed; confirmed, it waits for its shipment', () => {
    expect(authorised().steps).toEqual(['confirm'])
    expect(confirmed().steps).toEqual([])
    expect(statusOf(confirmed().state)).toMatchObject({ status: 'waiting', waitingFor: 'shipment' })
    expect(timersOf(confirmed().state)).toEqual([])
  })

  test('shipped, payment is captured and stock committed at once, and then it is completed', () => {
    const onItsWay = confirmed().when(shipped)
    expect(onItsWay.steps).toEqual(['capture', 'commit:a', 'commit:b'])
    const end = onItsWay.when(['capture', 'done'], ['commit:a', 'done'], ['commit:b', 'done'])
    expect(end.state.ended).toBe('completed')
    expect(end.steps).toEqual([])
  })

  test('a shipment proves the confirmation whose outcome was lost', () => {
    expect(authorised().when(shipped).steps).toEqual(['capture', 'commit:a', 'commit:b'])
  })

  test('what was seen before adds nothing', () => {
    expect(typesOf(reserved().when(placed('a', 'b')))).toEqual([])
    expect(typesOf(confirmed().when(shipped).when(shipped))).toEqual([])
    expect(typesOf(confirmed().when(cancelled('customer_request')).when(cancelled('customer_request')))).toEqual([])
    expect(observe(null, shipped, new Date(startedAt), deadlines)).toEqual([])
  })
})

describe('on failure', () => {
  test('out of stock: cancel the order and release every line, also the refused, which a late attempt may reserve', () => {
    const refused = given('a', 'b').when(['reserve:a', 'done'], ['reserve:b', outOfStock])
    expect(refused.steps).toEqual(['cancel', 'release:a', 'release:b'])
    expect(refused.state.cancelReason).toBe('out_of_stock')
    const end = refused.when(['cancel', 'done'], ['release:a', 'done'], ['release:b', 'done'])
    expect(typesOf(end)).toEqual(['FulfilmentCancelled', 'LineReleased', 'LineReleased', 'FulfilmentEnded'])
    expect(end.state.ended).toBe('cancelled')
  })

  test('an instance of version 1 keeps its way: what was refused is left alone', () => {
    const { state } = given('a', 'b').when(['reserve:a', 'done'], ['reserve:b', outOfStock])
    expect(next({ ...state, sagaVersion: 1 }, new Date(startedAt))).toEqual(['cancel', 'release:a'])
  })

  test('a reservation of unknown outcome is released too', () => {
    const refused = given('a', 'b').when(['reserve:a', failed], ['reserve:b', outOfStock])
    expect(refused.steps).toEqual(['cancel', 'release:a', 'release:b'])
  })

  test('payment declined: cancel and release all, void nothing', () => {
    const stopped = reserved().when(['authorise', declined])
    expect(stopped.steps).toEqual(['cancel', 'release:a', 'release:b'])
    expect(stopped.state.cancelReason).toBe('payment_declined')
  })

  test('payment unknown: the same step again later, never another charge', () => {
    const unsure = reserved().when(['authorise', failed])
    expect(typesOf(unsure)).toEqual(['StepFailed'])
    expect(unsure.steps).toEqual([])
    expect(statusOf(unsure.state)).toMatchObject({ status: 'waiting', waitingFor: 'retry:authorise', attempts: 1 })
    expect(timersOf(unsure.state).map(({ name }) => name)).toEqual(['authorisation-deadline', 'retry'])
    expect(unsure.after(1_250).steps).toEqual(['authorise'])
  })

  test('cancelled before the confirmation came: void and release', () => {
    const late = authorised().when(['confirm', { outcome: 'order-cancelled', reason: 'customer_request' }])
    expect(late.steps).toEqual(['void', 'release:a', 'release:b'])
    expect(typesOf(late.when(cancelled('customer_request')))).toEqual([])
  })

  test('capture fails: tried again with growing pauses, then parked while the stock is committed all the same', () => {
    let play = confirmed().when(shipped).when(['capture', failed], ['commit:a', 'done'], ['commit:b', 'done'])
    const pauses: number[] = []
    while (play.state.parked.size === 0) {
      const retryAt = play.state.failures.get('capture')?.retryAt ?? ''
      pauses.push(Date.parse(retryAt) - Date.parse(startedAt))
      expect(play.after(pauses.at(-1) ?? 0).steps).toEqual(['capture'])
      play = play.when(['capture', failed])
    }
    expect(pauses).toHaveLength(3)
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b))
    expect(statusOf(play.state)).toMatchObject({ status: 'parked', parkedStep: 'capture', attempts: 4 })
    expect(play.after(86_400_000).steps).toEqual([])
    expect(timersOf(play.state)).toEqual([])
    expect(play.state.lines.map((line) => line.status)).toEqual(['committed', 'committed'])
  })

  test('a provider that is away parks nothing, however long; what it answers counts from then on', () => {
    const away = { outcome: 'failed', error: 'payment gateway is unavailable', unavailable: true } as const
    let play = confirmed().when(shipped).when(['capture', away])
    for (let attempt = 2; attempt <= 20; attempt += 1) play = play.when(['capture', away])
    expect(statusOf(play.state)).toMatchObject({ status: 'running' })
    expect(play.events).toMatchObject([{ type: 'StepFailed', data: { attempt: 20, unavailable: true } }])
    for (let attempt = 1; attempt <= 4; attempt += 1) play = play.when(['capture', failed])
    expect(statusOf(play.state)).toMatchObject({ status: 'parked', parkedStep: 'capture', attempts: 4 })
  })

  test('what a deadline limits is tried until then and never parked for its failures', () => {
    let [reserving, authorising] = [given('a'), reserved()]
    for (let attempt = 1; attempt <= 20; attempt += 1) {
      reserving = reserving.when(['reserve:a', failed])
      authorising = authorising.when(['authorise', failed])
    }
    expect(statusOf(reserving.state)).toMatchObject({ status: 'waiting', waitingFor: 'retry:reserve:a' })
    expect(statusOf(authorising.state)).toMatchObject({ status: 'waiting', waitingFor: 'retry:authorise' })
    expect(authorising.after(300_000).when(nudge).steps).toEqual(['cancel', 'void', 'release:a', 'release:b'])
  })

  test('what can never work is parked at once', () => {
    const refused = confirmed()
      .when(shipped)
      .when(['capture', { outcome: 'impossible', error: 'payment-settled' }])
    expect(statusOf(refused.state)).toMatchObject({ status: 'parked', error: 'payment-settled', attempts: 1 })
  })
})

describe('cancelled meanwhile', () => {
  const stages = {
    'nothing is known yet': [given('a', 'b'), ['release:a', 'release:b']],
    'one line is reserved': [given('a', 'b').when(['reserve:a', 'done']), ['release:a', 'release:b']],
    'all is reserved and the authorisation may be under way': [reserved(), ['void', 'release:a', 'release:b']],
    'the authorisation has no known outcome': [
      reserved().when(['authorise', failed]),
      ['void', 'release:a', 'release:b'],
    ],
    'the authorisation is parked': [
      reserved().when(['authorise', { outcome: 'impossible', error: 'payment-mismatch' }]),
      ['void', 'release:a', 'release:b'],
    ],
    authorised: [authorised(), ['void', 'release:a', 'release:b']],
    confirmed: [confirmed(), ['void', 'release:a', 'release:b']],
  } as const

  test.each(Object.entries(stages))('when %s', (_stage, [play, steps]) => {
    const seen = play.when(cancelled('customer_request'))
    expect(seen.steps).toEqual(steps)
    expect(seen.when(...steps.map((step) => [step, 'done'] as [typeof step, 'done'])).state.ended).toBe('cancelled')
  })

  test('a void that finds the payment captured becomes a refund', () => {
    const late = confirmed()
      .when(cancelled('operator_request'))
      .when(['void', { outcome: 'captured-already' }], ['release:a', 'done'], ['release:b', 'done'])
    expect(late.steps).toEqual(['refund'])
    expect(late.when(['refund', 'done']).state.ended).toBe('cancelled')
  })

  test('a void that fails is tried again and parked in the end; the rest is done meanwhile', () => {
    let play = confirmed().when(cancelled('customer_request'))
    play = play.when(['void', failed], ['release:a', 'done'], ['release:b', 'done'])
    for (let attempt = 2; attempt <= 4; attempt += 1) play = play.when(['void', failed])
    expect(statusOf(play.state)).toMatchObject({ status: 'parked', parkedStep: 'void' })
    expect(play.state.ended).toBeNull()
  })
})

describe('deadlines', () => {
  test('reservation: lines without an outcome are released, nothing is voided', () => {
    const late = given('a', 'b').when(['reserve:a', 'done'], ['reserve:b', failed]).after(60_000).when(nudge)
    expect(late.events).toMatchObject([{ type: 'DeadlinePassed', data: { deadline: 'reservation' } }])
    expect(late.steps).toEqual(['cancel', 'release:a', 'release:b'])
    expect(late.when(['cancel', 'done']).events).toMatchObject([{ data: { reason: 'reservation_expired' } }])
  })

  test('authorisation: an unknown authorisation is voided', () => {
    const late = reserved().when(['authorise', failed]).after(300_000).when(nudge)
    expect(late.steps).toEqual(['cancel', 'void', 'release:a', 'release:b'])
    expect(late.state.cancelReason).toBe('authorisation_expired')
  })

  test('a parked authorisation does not outlive its deadline', () => {
    const parked = reserved().when(['authorise', { outcome: 'impossible', error: 'payment-mismatch' }])
    expect(timersOf(parked.state)).toEqual([{ name: 'authorisation-deadline', dueAt: '2026-11-21T09:35:00.000Z' }])
    expect(parked.after(300_000).when(nudge).steps).toEqual(['cancel', 'void', 'release:a', 'release:b'])
  })

  test.each([
    ['a moment early', given('a').after(59_999)],
    ['when the stage has passed', reserved().after(60_000)],
    ['when the order is confirmed', confirmed().after(86_400_000)],
    ['when compensation is under way', given('a').when(cancelled('customer_request')).after(86_400_000)],
  ])('%s a timer changes nothing', (_when, play) => {
    expect(typesOf(play.when(nudge))).toEqual([])
  })
})

describe('operators', () => {
  const operator = { orderId, operator: 'ann', reason: 'provider is back', at: startedAt }
  const parked = () =>
    confirmed()
      .when(shipped)
      .when(['commit:a', 'done'], ['commit:b', 'done'], ['capture', { outcome: 'impossible', error: 'no' }])

  test('a retried step is issued again and may fail as often as the first time', () => {
    const retried = parked().when({ type: 'FulfilmentRetried', data: { ...operator, step: 'capture' } })
    expect(retried.steps).toEqual(['capture'])
    expect(retried.when(['capture', failed]).events).toMatchObject([{ type: 'StepFailed', data: { attempt: 1 } }])
  })

  test('a skipped step counts as done', () => {
    const end = parked().when({ type: 'StepSkipped', data: { ...operator, step: 'capture' } })
    expect(end.state.ended).toBe('completed')
  })

  test('an authorisation that was skipped is never captured, but voided should the order be cancelled', () => {
    const waived = reserved()
      .when(['authorise', { outcome: 'impossible', error: 'no' }])
      .when({ type: 'StepSkipped', data: { ...operator, step: 'authorise' } })
    expect(waived.steps).toEqual(['confirm'])
    expect(waived.when(['confirm', 'done']).when(shipped).steps).toEqual(['commit:a', 'commit:b'])
    expect(waived.when(cancelled('customer_request')).steps).toEqual(['void', 'release:a', 'release:b'])
  })

  test('a reservation that was skipped is not committed, but released should the order be cancelled', () => {
    const waived = given('a', 'b')
      .when(['reserve:a', { outcome: 'impossible', error: 'no' }], ['reserve:b', 'done'])
      .when({ type: 'StepSkipped', data: { ...operator, step: 'reserve:a' } })
    expect(waived.steps).toEqual(['authorise'])
    expect(waived.when(['authorise', 'done'], ['confirm', 'done'], shipped).steps).toEqual(['capture', 'commit:b'])
    expect(waived.when(cancelled('customer_request')).steps).toEqual(['void', 'release:a', 'release:b'])
  })
})

test('an instance of a version that this code does not have is not led along another way', () => {
  const { state } = given('a')
  expect(() => statusOf({ ...state, sagaVersion: 99 })).toThrow(NewerSagaVersion)
})
