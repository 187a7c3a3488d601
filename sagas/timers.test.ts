import { expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { silentLogger } from '../platform/logging.ts'
import type { DueTimer } from './tables.ts'
import { createTimers } from './timers.ts'

const rig = (options: { claim: (limit: number) => DueTimer[]; room?: () => number; asked?: () => void }) => {
  const [stop, fired] = [new AbortController(), [] as string[]]
  const timers = createTimers({
    ...{ clock: systemClock, logger: silentLogger, fire: ({ orderId }) => void fired.push(orderId) },
    ...(options.room ? { room: options.room } : {}),
    tables: {
      claimTimers: async (_now, _until, limit) => options.claim(limit),
      nextTimer: async () => {
        options.asked?.()
        return undefined
      },
    },
  })
  return { timers, fired, stop, run: () => timers.run(stop.signal) }
}

test('a timer that is set while the table is asked for the next one is not slept through', async () => {
  let claims = 0
  const { timers, fired, stop, run } = rig({
    claim: () => {
      claims += 1
      if (claims === 1) return []
      stop.abort()
      return [{ orderId: 'a', name: 'retry' }]
    },
    asked: () => timers.expect(new Date().toISOString()),
  })
  await run()
  expect(fired).toEqual(['a'])
})

test('of thousands that are due no more are taken than there is room for', async () => {
  let [room, left] = [3, 10]
  const limits: number[] = []
  const { fired, stop, run } = rig({
    room: () => {
      // Somebody finishes one now and then.
      if (room === 0) room = 2
      return room
    },
    claim: (limit) => {
      limits.push(limit)
      const taken = Math.min(limit, left)
      left -= taken
      room -= taken
      if (left === 0) stop.abort()
      return Array.from({ length: taken }, () => ({ orderId: 'a', name: 'retry' }))
    },
  })
  await run()
  expect(fired).toHaveLength(10)
  expect(Math.max(...limits)).toBe(3)
})
