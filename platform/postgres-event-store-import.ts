import type { StoredEvent } from '../schemas/envelope.ts'
import type { Database, Statement } from './database.ts'
import type { ImportTarget } from './log-import.ts'
import { proposeAppend } from './proposed-append.ts'

/** As in an append, lists travel as one text each, a line per element. */
const importStatement: Statement = {
  name: 'log_import',
  text: `select place, continues from log.import(
    string_to_array($1, E'\\n'), $2::bigint[], string_to_array($3, E'\\n')::uuid[], string_to_array($4, E'\\n'),
    string_to_array($5, E'\\n')::json[], string_to_array($6, E'\\n')::json[],
    string_to_array($7, E'\\n')::timestamptz[])`,
}

/**
 * Writes batches of an import, each in one statement and one commit.
 *
 * @param execute on the session that keeps other writers out
 */
export const createPostgresImport =
  (execute: Database['execute']): ImportTarget['write'] =>
  async (events: readonly StoredEvent[]) => {
    const proposed = events.flatMap((event) => proposeAppend(event.stream, [event], 'any').events)
    const lines = (texts: readonly string[]) => texts.join('\n')
    const [misfit] = await execute<{ place: number; continues: bigint }>(importStatement, [
      lines(events.map(({ stream }) => stream)),
      `{${events.map(({ revision }) => revision).join(',')}}`,
      lines(proposed.map(({ id }) => id)),
      lines(proposed.map(({ type }) => type)),
      lines(proposed.map(({ data }) => data)),
      lines(proposed.map(({ metadata }) => metadata)),
      lines(events.map(({ recordedAt }) => recordedAt)),
    ])
    return misfit && { index: misfit.place - 1, continues: misfit.continues }
  }
