import type { ScoreChange } from './leaderboard-store.ts'
import { boardName } from './redis-leaderboard-keys.ts'

/** What a batch does to one sorted set. */
export interface BoardEdit {
  readonly name: string
  /** Of a board of an hour: that hour, epoch seconds; empty for others. */
  readonly hour: string | number
  /** Member and what is added to its score, in turns. */
  readonly changes: (string | number)[]
}

const bound = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * The changes of a batch, board by board.
 *
 * @throws RangeError for a change that alone reaches 2^53
 */
export const boardEdits = (changes: readonly ScoreChange[]): BoardEdit[] => {
  const edits = new Map<string, BoardEdit>()
  for (const change of changes) {
    const name = boardName(change)
    if (change.change > bound || change.change < -bound)
      throw new RangeError(`${change.key} in ${name} would change by ${change.change}, 2^53 or more`)
    let edit = edits.get(name)
    if (!edit) {
      edit = { name, hour: change.window === 'hour' ? Date.parse(change.bucket) / 1_000 : '', changes: [] }
      edits.set(name, edit)
    }
    edit.changes.push(change.key, Number(change.change))
  }
  return [...edits.values()]
}
