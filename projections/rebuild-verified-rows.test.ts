import { expect, test } from 'vitest'
import { givenRebuild } from '../test/support/rebuild-double.ts'
import { countingRows } from './rebuild-verified-rows.ts'

const rebuild = { ...givenRebuild({ phase: 'verifying' }), sample: null, lanes: 1, target: 700n }

/** Records in which each write takes as long as it is held. */
const openRecords = () => {
  const written: (bigint | null | undefined)[] = []
  const held: (() => void)[] = []
  return {
    written,
    // Of two that are under way at once the later one comes first.
    release: () => held.pop()?.(),
    records: {
      progress: async (_: unknown, now: { rowsVerified?: bigint | null }) => {
        await new Promise<void>((resolve) => held.push(resolve))
        written.push(now.rowsVerified)
        return true
      },
    },
  }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

test('rows are written down now and then while they are verified, and all of them in the end', async () => {
  let now = 0
  const { records, written, release } = openRecords()
  const { onCompared, settled } = countingRows(records, rebuild, () => now)
  onCompared(1)
  now = 500
  onCompared(2)
  onCompared(3)
  now = 1_000
  onCompared(4)
  await turn()
  const end = settled()
  for (let writes = 0; writes < 3; writes += 1) {
    // The next one is not begun before: it could overtake.
    await turn()
    expect(written).toHaveLength(writes)
    release()
  }
  await end
  expect(written).toEqual([2n, 4n, 4n])
})

test('where nothing is compared nothing is written, and who cannot write verifies all the same', async () => {
  const { records, written } = openRecords()
  await countingRows(records, rebuild).settled()
  expect(written).toEqual([])
  const refusing = { progress: () => Promise.reject(new Error('away')) }
  const { onCompared, settled } = countingRows(refusing, rebuild)
  onCompared(1)
  await settled()
})
