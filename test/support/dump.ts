type Ask = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>

/** Every row of every table of ours as text. */
export const dumpDatabase = async (query: Ask): Promise<string> => {
  const tables = await query<{ name: string }>(
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema') order by 1`,
  )
  const parts: string[] = []
  for (const { name } of tables)
    for (const { line } of await query<{ line: string }>(`select t::text as line from ${name} t`))
      parts.push(`${name}: ${line}`)
  return parts.join('\n')
}

/** A text as it might lie hidden: in clear, as hex, and as base64 of something around it, whatever comes before it. */
export const disguisesOf = (text: string): string[] => {
  const bytes = Buffer.from(text)
  const base64 = [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replaceAll('=', '')
    // The first and last characters also depend on the neighbours.
    return encoded.slice(shift === 0 ? 0 : 4, -2)
  })
  return [
    text,
    bytes.toString('hex'),
    ...base64,
    ...base64.map((part) => part.replaceAll('+', '-').replaceAll('/', '_')),
  ]
}

/** Which of the texts can be found, in any disguise and any case. */
export const findAny = (haystack: string, texts: readonly string[]): string[] => {
  const lower = haystack.toLowerCase()
  return texts.filter((text) =>
    disguisesOf(text).some((disguise) => haystack.includes(disguise) || lower.includes(disguise.toLowerCase())),
  )
}
