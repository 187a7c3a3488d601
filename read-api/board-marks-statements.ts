import type { Statement } from '../platform/database.ts'
import type { Instant } from './as-of.ts'

const statement = (name: string, text: string): Statement => ({ name: `history_${name}`, text })

const latest = (by: 'position' | 'recorded_at'): Statement =>
  statement(
    `latest_mark_by_${by}`,
    `select mark, position, stream, revision, event_id, recorded_at from history.board_marks
     where shape = $1 and ${by} <= $2 order by mark desc limit 1`,
  )

export const latestMark = {
  position: latest('position'),
  time: latest('recorded_at'),
} satisfies Record<Exclude<Instant['by'], 'revision'>, Statement>

/** One at a time: a mark is worth what the marks before it are worth. */
export const lockMarks = statement('lock_marks', 'select pg_advisory_xact_lock(7310573)')

/** $1 shape, $2 mark, $3 event id of the mark before it (null before the first), $4 position, $5 stream, $6 revision, $7 event id, $8 time */
export const addMark = statement(
  'add_mark',
  `insert into history.board_marks (shape, mark, position, stream, revision, event_id, recorded_at)
   select $1, $2::integer, $4, $5, $6, $7, $8
   where $3::uuid is null or exists (
     select from history.board_marks where shape = $1 and mark = $2::integer - 1 and event_id = $3)
   on conflict (shape, mark) do nothing returning mark`,
)

/** $1 shape, $2 mark, then of what was sold since the mark before: $3 boards, $4 hours, $5 currencies, $6 keys, $7 revenues, $8 units */
export const addHours = statement(
  'add_hours',
  `insert into history.board_sums (shape, mark, span, board, bucket, currency, key, revenue, units)
   select $1, $2, 'hour', * from unnest($3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[], $8::bigint[])`,
)

/** As above, without the hours; $8 the nodes within this one. What adds up to nothing is left out. */
export const addAllTime = statement(
  'add_all_time',
  `insert into history.board_sums (shape, mark, span, board, bucket, currency, key, revenue, units)
   select $1, $2, 'all', board, timestamptz 'epoch', currency, key, sum(revenue)::bigint, sum(units)::bigint
   from (
     select board collate "C" as board, currency collate "C" as currency, key collate "C" as key, revenue, units
     from unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[]) as sold(board, currency, key, revenue, units)
     union all
     select board, currency, key, revenue, units from history.board_sums
     where shape = $1 and board = any ('{products,customers}') and span = 'all' and bucket = 'epoch'
       and mark = any ($8::integer[])
   ) parts
   group by board, currency, key
   having sum(revenue) <> 0 or sum(units) <> 0`,
)

export const forgetMarks = statement('forget_marks', 'delete from history.board_marks where shape = $1')
export const forgetSums = statement('forget_sums', 'delete from history.board_sums where shape = $1')
export const forgetEarlierMarks = statement('forget_earlier_marks', 'delete from history.board_marks where shape < $1')
export const forgetEarlierSums = statement('forget_earlier_sums', 'delete from history.board_sums where shape < $1')

/**
 * $1 shape, $2 mark (0: none), $3 its event id, $4 board, then what was sold after the mark: $5 keys, $6 currencies,
 * $7 revenues, $8 units; $9 and $10 the window. No row: the mark is gone. A row without a key: nothing was sold.
 */
const overWindow = (span: 'hour' | 'all', name: string, question: string): Statement =>
  statement(
    `${name}_${span}`,
    `with marked as (
       select where $2::integer = 0 or exists (
         select from history.board_marks where shape = $1 and mark = $2::integer and event_id = $3::uuid)
     ), parts as (
       select key, currency, revenue, units from history.board_sums
       where shape = $1 and board = $4 and span = '${span}' and ${
         span === 'all'
           ? 'mark = any ($9::integer[]) and bucket = $10::timestamptz'
           : 'mark <= $2::integer and bucket >= $9::timestamptz and bucket < $10::timestamptz'
       }
       union all
       select key collate "C", currency collate "C", revenue, units
       from unnest($5::text[], $6::text[], $7::bigint[], $8::bigint[]) as later(key, currency, revenue, units)
     ), places as (${question})
     select places.key, places.score from marked left join places on true order by places.score desc, places.key`,
  )

const top = (span: 'hour' | 'all', measure: 'revenue' | 'units'): Statement =>
  overWindow(
    span,
    `top_${measure}`,
    `select key, sum(${measure})::bigint as score from parts where $11::text = '' or currency = $11::text
     group by key having sum(${measure}) > 0 order by score desc, key limit $12`,
  )

const currencies = (span: 'hour' | 'all'): Statement =>
  overWindow(
    span,
    'currencies',
    'select currency as key, sum(units)::bigint as score from parts group by currency having sum(units) > 0',
  )

export const topStatements = {
  hour: { revenue: top('hour', 'revenue'), units: top('hour', 'units') },
  all: { revenue: top('all', 'revenue'), units: top('all', 'units') },
}
export const currenciesStatements = { hour: currencies('hour'), all: currencies('all') }
