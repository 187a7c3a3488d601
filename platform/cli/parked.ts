import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import Table from 'cli-table3'
import { StartupError } from '../failures.ts'
import { askPlatform, baseUrl, refusalOf } from './ask.ts'

interface Shown {
  readonly [member: string]: unknown
  readonly event: { readonly [member: string]: unknown }
  readonly edits: readonly { readonly [member: string]: unknown }[]
  readonly discarded: { readonly [member: string]: unknown } | null
  readonly stack: string | null
}

interface Options {
  readonly json?: boolean
}
interface Decision extends Options {
  readonly operator?: string
  readonly reason: string
}

/** What the platform answers. @throws StartupError with its refusal */
const ask = async <Body>(path: string, body?: unknown): Promise<Body> => {
  const reply = await askPlatform(baseUrl(), `/v1/parked-events${path}`, body)
  if (!reply.ok) throw new StartupError(refusalOf(reply.body))
  return reply.body as Body
}

const pathOf = (...parts: readonly string[]): string => parts.map((part) => `/${encodeURIComponent(part)}`).join('')

const whoOf = ({ operator, reason }: Decision) => ({ operator: operator ?? userInfo().username, reason })

const print = (options: Options, body: unknown, words: () => string): void =>
  console.log(options.json ? JSON.stringify(body) : words())

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

const list = (pairs: readonly (readonly [string, unknown])[]): string =>
  pairs
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name.padEnd(13)} ${text(value)}`)
    .join('\n')

const wordsOf = (shown: Shown): string => {
  const { event, edits, discarded, stack } = shown
  return [
    list([
      ['projection', shown.projection],
      ['event', `${shown.stream} @ ${shown.revision}, position ${shown.position}`],
      ['type', event.type],
      ['recorded', `${event.recordedAt} by ${event.actor}, correlation ${event.correlationId}`],
      ['data', event.data],
      ['status', shown.status],
      ['attempts', shown.attempts],
      ['first, last', shown.firstAt === null ? null : `${shown.firstAt}, ${shown.lastAt}`],
      ['error', shown.error],
      ['SQLSTATE', shown.sqlState],
    ]),
    ...edits.map((edit) =>
      list([
        [`edit ${edit.edit}`, `${edit.editedAt} by ${edit.operator}: ${edit.reason}`],
        ['  as', `${edit.type} ${text(edit.data)}`],
        ['  applied', edit.appliedAt ?? 'not yet'],
      ]),
    ),
    ...(discarded
      ? [
          list([
            ['discarded', `${discarded.discardedAt} by ${discarded.operator}: ${discarded.reason}`],
            ['  passed', discarded.passedAt ?? 'in no rebuild since'],
          ]),
        ]
      : []),
    ...(stack === null ? [] : [stack]),
  ].join('\n')
}

/** `orderlog parked list`: what projections have parked, or what operators decided about it. */
export const listParked = async (
  options: Options & { readonly projection?: string; readonly status?: string; readonly limit?: number },
): Promise<void> => {
  const query = new URLSearchParams({ limit: String(options.limit ?? 50) })
  if (options.projection !== undefined) query.set('projection', options.projection)
  if (options.status !== undefined) query.set('status', options.status)
  const body = await ask<{ parkedEvents: Record<string, unknown>[]; nextCursor: string | null }>(`?${query}`)
  print(options, body, () => {
    if (body.parkedEvents.length === 0) return 'There are none.'
    const table = new Table({
      head: ['projection', 'stream', 'revision', 'type', 'status', 'attempts', 'why'],
      style: { head: [], border: [] },
    })
    for (const { projection, stream, revision, type, status, attempts, error, operator, reason } of body.parkedEvents) {
      const why = operator === undefined ? error : `${operator}: ${reason}`
      table.push([projection, stream, revision, type, status, attempts, why].map((cell) => text(cell ?? '')))
    }
    return `${table.toString()}${body.nextCursor === null ? '' : '\nThere are more: --limit shows up to 200, --projection those of one.'}`
  })
}

/** `orderlog parked show`: everything about one event. */
export const showParked = async (projection: string, stream: string, revision: string, options: Options) => {
  const shown = await ask<Shown>(pathOf(projection, stream, revision))
  print(options, shown, () => wordsOf(shown))
}

/** `orderlog parked retry`: applies a stream's events in order. Exit code 1 when some stay parked. */
export const retryParked = async (projection: string, stream: string, options: Decision): Promise<void> => {
  const path = `${pathOf(projection, stream)}/retry`
  const body = await ask<{ appliedCount: number; parkedCount: number }>(path, whoOf(options))
  if (body.parkedCount > 0) process.exitCode = 1
  print(options, body, () => `${body.appliedCount} applied, ${body.parkedCount} still parked.`)
}

const dataOf = (given: string): unknown => {
  const source = given === '-' ? 0 : given.startsWith('@') ? given.slice(1) : undefined
  try {
    return JSON.parse(source === undefined ? given : readFileSync(source, 'utf8'))
  } catch (error) {
    throw new StartupError(`--data is no JSON, nor @ and a file of it, nor -: ${(error as Error).message}`)
  }
}

/** `orderlog parked edit`: puts a replacement beside a parked event. */
export const editParked = async (
  projection: string,
  stream: string,
  revision: string,
  options: Decision & { readonly data: string; readonly type?: string },
): Promise<void> => {
  const shown = await ask<Shown>(`${pathOf(projection, stream, revision)}/edit`, {
    ...whoOf(options),
    data: dataOf(options.data),
    ...(options.type === undefined ? {} : { type: options.type }),
  })
  print(options, shown, () => `${wordsOf({ ...shown, stack: null })}\nThe next retry of the stream applies it.`)
}

/** `orderlog parked discard`: the projection goes without the event. */
export const discardParked = async (
  projection: string,
  stream: string,
  revision: string,
  options: Decision,
): Promise<void> => {
  const path = `${pathOf(projection, stream, revision)}/discard`
  const shown = await ask<Shown & { parkedCount: number }>(path, whoOf(options))
  const left = shown.parkedCount === 0 ? 'Nothing else of the stream is parked.' : 'Retry the stream to apply the rest.'
  print(options, shown, () => `${wordsOf({ ...shown, stack: null })}\n${left}`)
}
