import type { Queryable } from '../../platform/database.ts'

/** What PostgreSQL itself is to refuse: SQL of the row `new`, and how it says so. */
export interface RefusedRows {
  readonly when: string
  readonly errcode: string
  readonly message?: string
}

/** Makes PostgreSQL refuse to write some orders into a schema. */
export const refuseRows = async (database: Queryable, schema: string, rows: RefusedRows): Promise<void> => {
  const { when, errcode, message = 'refused' } = rows
  await database.query(`create function ${schema}.refuse() returns trigger language plpgsql as $$
    begin
      if ${when} then raise exception '${message}' using errcode = '${errcode}'; end if;
      return new;
    end $$`)
  await database.query(
    `create trigger refuse before insert or update on ${schema}.orders for each row execute function ${schema}.refuse()`,
  )
}

export const refuseNoMore = (database: Queryable, schema: string) =>
  database.query(`drop trigger refuse on ${schema}.orders`)
