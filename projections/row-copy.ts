/** What `COPY ... FROM STDIN` reads in its text format, of the types that read models have. */

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }
// Most texts have nothing to escape, and looking is cheaper than replacing.
const escaped = (text: string): string =>
  /[\\\t\n\r]/.test(text) ? text.replace(/[\\\t\n\r]/g, (character) => escapes[character] ?? character) : text

const quotedElement = (element: string): string => `"${element.replace(/["\\]/g, '\\$&')}"`

/**
 * A value as a field of a line.
 *
 * @param type of the column; `json` and arrays of text are written as such, everything else as it stands
 */
const fieldOf = (type: string, value: unknown): string => {
  if (value === null || value === undefined) return '\\N'
  if (type === 'json') return escaped(JSON.stringify(value))
  if (type === 'text[]') return escaped(`{${(value as readonly string[]).map(quotedElement).join(',')}}`)
  return typeof value === 'string' ? escaped(value) : String(value)
}

/** Rows as lines, in the order of the columns. */
export const copyLines = (
  columns: readonly (readonly [name: string, type: string])[],
  rows: readonly Readonly<Record<string, unknown>>[],
): string => {
  let text = ''
  for (const row of rows) {
    let separator = ''
    for (const [name, type] of columns) {
      text += separator + fieldOf(type, row[name])
      separator = '\t'
    }
    text += '\n'
  }
  return text
}
