import type { Database, Statement } from './database.ts'
import { fromTrailJson, type LogTrail, toTrailJson } from './log-trail.ts'

const readStatement: Statement = {
  name: 'log_trail_read',
  text: `select json_build_object('log', log_identity, 'places', places)::text as trail from platform.log_trail`,
}
const writeStatement: Statement = {
  name: 'log_trail_write',
  text: `insert into platform.log_trail as t (log_identity, places)
    select (given->>'log')::uuid, given->'places' from (select $1::jsonb as given) g
    on conflict (only_row) do update set log_identity = excluded.log_identity, places = excluded.places,
      updated_at = now()
    returning set_config('synchronous_commit', 'off', true)`,
}

/** The trail beside the read models and checkpoints in PostgreSQL. */
export const createPostgresLogTrail = (database: Database): LogTrail => ({
  read: async () => {
    const [row] = await database.execute<{ trail: string }>(readStatement)
    return row && fromTrailJson(row.trail)
  },
  write: async (trail) => {
    await database.execute(writeStatement, [toTrailJson(trail)])
  },
})
