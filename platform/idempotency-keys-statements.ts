import type { Statement } from './database.ts'

const requests = 'unnest($1::text[], $2::text[])'

/**
 * Returns what was claimed: keys that are new or too old to count, and those of the same request whose lease ran out,
 * which keep their command id.
 */
export const claimStatement: Statement = {
  name: 'idempotency_claim',
  text: `
    insert into platform.idempotency_keys as i (scope, key, body_hash, command_id, owner, claimed_at, renewed_at)
    select scope, key, decode(body_hash, 'hex'), command_id, $5::uuid, now(), now()
    from unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) r(scope, key, body_hash, command_id)
    order by scope collate "C", key collate "C"
    on conflict (scope, key) do update set
      owner = excluded.owner,
      body_hash = excluded.body_hash,
      renewed_at = now(),
      reply = null,
      command_id = case when i.claimed_at < now() - $7::float8 * interval '1 millisecond' then excluded.command_id else i.command_id end,
      claimed_at = case when i.claimed_at < now() - $7::float8 * interval '1 millisecond' then now() else i.claimed_at end
    where i.claimed_at < now() - $7::float8 * interval '1 millisecond'
      or (i.reply is null and i.body_hash = excluded.body_hash and i.renewed_at < now() - $6::float8 * interval '1 millisecond')
    returning scope, key, command_id`,
}

export const seenStatement: Statement = {
  name: 'idempotency_seen',
  text: `
    select i.scope, i.key, i.body_hash = decode(r.body_hash, 'hex') as same, i.reply
    from unnest($1::text[], $2::text[], $3::text[]) r(scope, key, body_hash)
    join platform.idempotency_keys i using (scope, key)`,
}

/**
 * Only the owner's word counts: a claim that was taken over is answered by whoever took it. Rows are locked in the order
 * in which claims lock them, so that the two never wait for one another.
 */
export const completeStatement: Statement = {
  name: 'idempotency_complete',
  text: `
    with mine as (
      select i.scope, i.key, r.reply
      from unnest($1::text[], $2::text[], $3::json[]) r(scope, key, reply)
      join platform.idempotency_keys i on i.scope = r.scope and i.key = r.key
      where i.owner = $4::uuid and i.reply is null
      order by i.scope, i.key for update of i
    )
    update platform.idempotency_keys i set reply = mine.reply from mine where i.scope = mine.scope and i.key = mine.key`,
}

export const releaseStatement: Statement = {
  name: 'idempotency_release',
  text: `
    update platform.idempotency_keys i set renewed_at = '-infinity'
    from ${requests} r(scope, key)
    where i.scope = r.scope and i.key = r.key and i.owner = $3::uuid and i.reply is null`,
}

/** Passes over rows that somebody else has locked: one of them must not cost all others their lease. */
export const renewStatement: Statement = {
  name: 'idempotency_renew',
  text: `
    with mine as (
      select i.scope, i.key from ${requests} r(scope, key)
      join platform.idempotency_keys i on i.scope = r.scope and i.key = r.key
      where i.owner = $3::uuid and i.reply is null
      for update of i skip locked
    )
    update platform.idempotency_keys i set renewed_at = now() from mine where i.scope = mine.scope and i.key = mine.key`,
}

/** A bounded number at a time, passing over those that are being claimed anew this very moment. */
export const purgeStatement = `
  delete from platform.idempotency_keys where (scope, key) in (
    select scope, key from platform.idempotency_keys
    where claimed_at < now() - $1::float8 * interval '1 millisecond' order by claimed_at limit 1000 for update skip locked
  ) returning key`
