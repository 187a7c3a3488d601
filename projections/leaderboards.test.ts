import fc from 'fast-check'
import { expect, it } from 'vitest'
import { leaderboardDeltas } from '../platform/leaderboard-deltas.ts'
import { scoreChanges } from '../platform/leaderboard-store.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { confirmationsAndCancellations, naiveBoards } from '../test/support/leaderboard-events.ts'

const now = new Date('2026-11-21T23:00:00.000Z')

/** What a store that adds up score changes batch by batch ends with. */
const added = (batches: readonly (readonly RecordedEvent[])[]): Map<string, bigint> => {
  const scores = new Map<string, bigint>()
  for (const batch of batches)
    for (const { change, ...member } of scoreChanges(batch.flatMap(leaderboardDeltas), now)) {
      const id = [member.board, member.measure, member.currency, member.window, member.bucket, member.key].join(' ')
      scores.set(id, (scores.get(id) ?? 0n) + change)
    }
  return new Map([...scores].filter(([, score]) => score > 0n).sort())
}

it('adds up to a naive fold, however the events are cut into batches', () => {
  fc.assert(
    fc.property(confirmationsAndCancellations, ({ events, batches }) => {
      expect(added(batches)).toEqual(naiveBoards(events))
    }),
  )
})

it('counts nothing for an order that was cancelled before it was confirmed', () => {
  fc.assert(
    fc.property(confirmationsAndCancellations, ({ events }) => {
      const never = events.filter((event) => event.type === 'OrderCancelled' && event.data.confirmedAt === null)
      expect(never.flatMap(leaderboardDeltas)).toEqual([])
    }),
  )
})
