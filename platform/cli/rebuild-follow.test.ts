import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import type { Rebuild } from '../../projections/rebuild.ts'
import { toRebuildView } from '../../read-api/rebuild-view.ts'
import type { ProjectionView, RebuildView } from '../../schemas/views.ts'
import { givenRebuild } from '../../test/support/rebuild-double.ts'
import { NoAnswer } from './ask.ts'
import { type PlatformClient, Refused } from './platform-client.ts'
import { followRebuilds } from './rebuild-follow.ts'
import { createProgressDisplay, noProgress } from './rebuild-progress.ts'

const view = (more: Partial<Rebuild> = {}) => toRebuildView(givenRebuild(more), 800n)
const projection = (rebuild: RebuildView, more: Partial<ProjectionView> = {}): ProjectionView => ({
  ...{ head: '800', name: rebuild.projection, version: 4, generation: 1, codeVersion: 4, parkedEventCount: 0 },
  ...{ gapCount: 0, state: null },
  ...{ partitions: [], generations: [], stale: null, rebuild },
  ...more,
})

/** Answers one after the other, the last one for ever. */
const answering = (...answers: readonly (ProjectionView | Error)[]): Pick<PlatformClient, 'get'> => {
  let next = 0
  return {
    get: async <T>() => {
      const answer = answers[Math.min(next++, answers.length - 1)]
      if (answer instanceof Error) throw answer
      return answer as T
    },
  }
}
const away = new NoAnswer('http://127.0.0.1:1', new Error('refused'))
const options = { display: noProgress, stopping: new AbortController().signal, everyMs: 1 }
const done = view({ state: 'done', phase: 'done' })

test('it is looked at until it has ended', async () => {
  const client = answering(projection(view()), projection(view({ phase: 'indexing' })), projection(done))
  expect(await followRebuilds(client, [view()], options)).toEqual([done])
})

test.each(['failed', 'cancelled', 'dropped'] as const)('%s is an end, too', async (state) => {
  const [ended] = await followRebuilds(answering(projection(view({ state }))), [view()], options)
  expect(ended?.state).toBe(state)
})

test('a platform that is restarted meanwhile is waited for', async () => {
  const starting = new Refused(503, { title: 'The server is shutting down' })
  const shown: (string | undefined)[] = []
  const display = { show: (_: unknown, waiting?: string) => void shown.push(waiting), end: () => undefined }
  const client = answering(projection(view()), away, starting, away, projection(done))
  expect(await followRebuilds(client, [view()], { ...options, display })).toEqual([done])
  expect(shown.filter((waiting) => waiting !== undefined)).toHaveLength(3)
})

test('one that stays away is not waited for for ever, and it is said how to look again', async () => {
  await expect(followRebuilds(answering(away), [view()], { ...options, patienceMs: 20 })).rejects.toThrow(
    /The rebuild goes on when it is back: look again with "orderlog rebuild order_details --follow"/,
  )
})

test('any other refusal ends it', async () => {
  const refused = new Refused(404, { title: 'There is no such projection.' })
  await expect(followRebuilds(answering(refused), [view()], options)).rejects.toBe(refused)
})

test('who stops looking learns what was seen last', async () => {
  const stop = new AbortController()
  const display = { show: () => stop.abort(), end: () => undefined }
  const latest = view({ eventsDone: 600n })
  const seen = await followRebuilds(answering(projection(latest)), [view()], {
    ...options,
    display,
    stopping: stop.signal,
  })
  expect(seen).toEqual([latest])
})

test('when another one was begun since, its generation tells what became of ours', async () => {
  const other = view({ run: '0190a5f0-0000-7000-8000-000000000002', generation: 3 })
  const kept = {
    generation: 2,
    version: 4,
    state: 'kept',
    createdAt: '',
    replacedAt: null,
    parkedEventCount: 0,
  } as const
  const stateWith = async (more: Partial<ProjectionView>) =>
    (await followRebuilds(answering(projection(other, more)), [view()], options))[0]?.state
  expect(await stateWith({ generation: 2 })).toBe('done')
  expect(await stateWith({ generation: 3, generations: [kept] })).toBe('done')
  expect(await stateWith({ generation: 1 })).toBe('dropped')
})

test('without a terminal there is one line a second at most, of each in turn, and none without news', () => {
  const stream = new PassThrough()
  let now = 0
  const display = createProgressDisplay(stream as unknown as NodeJS.WriteStream, () => now)
  const rebuilds = [view(), view({ projection: 'sales', phase: 'indexing' })]
  for (now = 0; now < 5_000; now += 100) display.show(rebuilds)
  display.show(rebuilds, 'the platform does not answer')
  expect(String(stream.read()).split('\n')).toEqual([
    'order_details: 50 %, loading, 505 of 1,000 events, 251/s, 2.0 s left',
    'sales: 50 %, indexing, 505 of 1,000 events, 251/s, 2.0 s left',
    'order_details: the platform does not answer',
    '',
  ])
})

test('on a terminal each has a bar', () => {
  const stream = Object.assign(new PassThrough(), {
    ...{ isTTY: true, columns: 120, rows: 40, cursorTo: () => true, moveCursor: () => true, clearLine: () => true },
    ...{ clearScreenDown: () => true },
  })
  const display = createProgressDisplay(stream as unknown as NodeJS.WriteStream)
  display.show([view(), view({ projection: 'sales', eventsDone: 1_000n })])
  display.end()
  const picture = String(stream.read())
  expect(picture).toMatch(/order_details ████████░░░░░░░░ +50 % loading 505\/1,000/)
  expect(picture).toMatch(/sales {9}████████████████ 100 % loading 1,000\/1,000/)
})
