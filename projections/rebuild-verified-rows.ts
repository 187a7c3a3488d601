import type { RebuildRecords, StoredRebuild } from './rebuild-records.ts'

/** How often it is written down, milliseconds. */
const saveEveryMs = 500

/**
 * Writes down how many rows of a new generation have been verified, while that goes on.
 *
 * @returns `onCompared` to be told each count, `settled` to be waited for in the end: the last count stands there then
 */
export const countingRows = (
  records: Pick<RebuildRecords, 'progress'>,
  rebuild: StoredRebuild,
  now: () => number = () => performance.now(),
) => {
  let rows: number | undefined
  let savedAt = now()
  // One after the other, or an earlier count could come last.
  let saving: Promise<unknown> = Promise.resolve()
  const save = (): void => {
    if (rows === undefined) return
    const rowsVerified = BigInt(rows)
    // Progress is to be looked at; the verification goes on without it.
    saving = saving.then(() => records.progress(rebuild, { rowsVerified })).catch(() => undefined)
  }
  return {
    onCompared: (count: number): void => {
      rows = count
      if (now() - savedAt < saveEveryMs) return
      savedAt = now()
      save()
    },
    settled: async (): Promise<void> => {
      save()
      await saving
    },
  }
}
