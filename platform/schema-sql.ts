import { readFileSync } from 'node:fs'

/**
 * Reads SQL that lives beside a module and names its schema `{schema}`.
 *
 * @param module the module's `import.meta.url`
 * @throws RangeError when the name of the schema is not a plain identifier
 */
export const sqlBeside = (module: string, file: string, schema: string): string => {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) throw new RangeError(`"${schema}" is not a name for a schema`)
  return readFileSync(new URL(file, module), 'utf8').replaceAll('{schema}', schema)
}

/** The tables of a read model, and apart from them the indexes, which are cheaper to build after a bulk load. */
export interface Ddl {
  readonly tables: string
  /** A statement each, harmless when repeated. */
  readonly indexes: readonly string[]
}

/** What follows the line `-- Indexes` are the indexes, each on a line of its own. */
export const splitDdl = (ddl: string): Ddl => {
  const [tables = '', indexes = ''] = ddl.split(/^-- Indexes$/m)
  return { tables, indexes: indexes.split('\n').filter((line) => line.trim() !== '') }
}

/**
 * SQL: the head of a `with` that gives a table of a read model a name for the statement. PostgreSQL looks up each mention
 * of a table by itself, and between two of them generations may be swapped: who mentions a table twice, mentions this.
 */
export const onceAs = (name: string, table: string): string => `${name} as not materialized (select * from ${table})`
