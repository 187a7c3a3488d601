import type { Statement } from './database.ts'

/** Each handles a batch and returns `key, status, reason` per call. No two calls of a batch are about one authorisation. */

/** A key that is known keeps its answer, but for one that was made to fail a few times first. */
export const authoriseStatement: Statement = {
  name: 'gateway_authorise',
  text: `
    with call as (
      select * from unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::integer[])
        c(key, order_id, token, amount, currency, status, reason, failures)
    )
    insert into gateway.authorisations as a (key, order_id, token, amount, currency, status, reason)
    select key, order_id, token, amount, currency, status, reason from call
    on conflict (key) do update set
      attempts = a.attempts + 1,
      status = case
        when a.status = 'failing' and a.attempts >= (select c.failures from call c where c.key = a.key) then 'approved'
        else a.status
      end
    returning a.key, a.status, a.reason`,
}

/** A repeat finds its own key there; everything else that is not plainly approved is declined with its status. */
export const captureStatement: Statement = {
  name: 'gateway_capture',
  text: `
    with call as (
      select * from unnest($1::text[], $2::text[], $3::bigint[]) c(key, authorisation_key, amount)
    ), captured as (
      update gateway.authorisations a set status = 'captured', capture_key = c.key
      from call c
      where a.key = c.authorisation_key and a.token not like 'tok\\_capture\\_fails%'
        and (a.status = 'approved' and a.amount = c.amount or a.status = 'captured' and a.capture_key = c.key)
      returning c.key
    )
    select c.key,
      case when d.key is not null then 'captured' when a.status = 'captured' then 'declined'
        else coalesce(a.status, 'absent') end as status,
      case when a.token like 'tok\\_capture\\_fails%' then 'capture_failed' end as reason
    from call c
    left join captured d using (key)
    left join gateway.authorisations a on a.key = c.authorisation_key`,
}

/** Without an authorisation the mark is left in its place. A declined one holds nothing, so it counts as let go. */
export const voidStatement: Statement = {
  name: 'gateway_void',
  text: `
    with call as (
      select * from unnest($1::text[], $2::text[]) c(key, authorisation_key)
    ), marked as (
      insert into gateway.authorisations as a (key, status, void_key)
      select authorisation_key, 'voided', key from call
      on conflict (key) do update set
        status = case when a.status in ('approved', 'failing') then 'voided' else a.status end,
        void_key = case when a.status = 'captured' then a.void_key else coalesce(a.void_key, excluded.void_key) end
      returning a.key as authorisation_key, a.status
    )
    select c.key, m.status, null as reason from call c join marked m using (authorisation_key)`,
}

/** Counting the refund locks its authorisation, so the sum of all never passes what was captured. */
export const refundStatement: Statement = {
  name: 'gateway_refund',
  text: `
    with call as (
      select * from unnest($1::text[], $2::text[], $3::bigint[]) c(key, authorisation_key, amount)
    ), counted as (
      update gateway.authorisations a set refunded = a.refunded + c.amount
      from call c
      where a.key = c.authorisation_key and a.status = 'captured' and a.refunded + c.amount <= a.amount
        and not exists (select from gateway.refunds r where r.key = c.key)
      returning c.key, c.authorisation_key, c.amount
    ), made as (
      insert into gateway.refunds (key, authorisation_key, amount) select * from counted returning key
    )
    select c.key, case when m.key is null and r.key is null then 'declined' else 'refunded' end as status, null as reason
    from call c
    left join made m using (key)
    left join gateway.refunds r using (key)`,
}

export const findStatement: Statement = {
  name: 'gateway_find',
  text: `
    select key, status, reason from gateway.authorisations where key = any ($1::text[]) and order_id is not null
    union all select capture_key, 'found', null from gateway.authorisations where capture_key = any ($1::text[])
    union all select void_key, 'found', null from gateway.authorisations where void_key = any ($1::text[])
    union all select key, 'found', null from gateway.refunds where key = any ($1::text[])`,
}
