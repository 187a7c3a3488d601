import type { ReadSide } from './read-side.ts'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: the body is what the test is about to look into
  readonly body: any
}

/** GETs a path and reads the JSON that comes back; null when nothing does. */
export const ask = async (
  side: Pick<ReadSide, 'url'>,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> => {
  const response = await fetch(side.url + path, { headers })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) }
}
