import { readFileSync } from 'node:fs'
import Table from 'cli-table3'
import { StartupError } from '../failures.ts'
import { type AskedOptions, answering, askedBy, createPlatformClient } from './platform-client.ts'

interface Shown {
  readonly [member: string]: unknown
  readonly event: { readonly [member: string]: unknown }
  readonly edits: readonly { readonly [member: string]: unknown }[]
  readonly discarded: { readonly [member: string]: unknown } | null
  readonly stack: string | null
}

type Options = Pick<AskedOptions, 'json'>
interface Decision extends AskedOptions {
  readonly reason: string
}

const parkedEvents = '/v1/parked-events'

const pathOf = (...parts: readonly string[]): string =>
  parkedEvents + parts.map((part) => `/${encodeURIComponent(part)}`).join('')

/** Asks, and prints the answer as JSON or in these words; undefined when it was refused. */
const tell = async <Body>(
  options: Options,
  path: string,
  body: unknown,
  words: (answer: Body) => string,
): Promise<Body | undefined> => {
  let answer: Body | undefined
  await answering(options, async () => {
    const client = createPlatformClient()
    answer = await (body === undefined ? client.get<Body>(path) : client.post<Body>(path, body))
    console.log(options.json ? JSON.stringify(answer) : words(answer))
  })
  return answer
}

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
  type Page = { parkedEvents: Record<string, unknown>[]; nextCursor: string | null }
  await tell<Page>(options, `${parkedEvents}?${query}`, undefined, (page) => {
    if (page.parkedEvents.length === 0) return 'There are none.'
    const table = new Table({
      head: ['projection', 'stream', 'revision', 'type', 'status', 'attempts', 'why'],
      style: { head: [], border: [] },
    })
    for (const { projection, stream, revision, type, status, attempts, error, operator, reason } of page.parkedEvents) {
      const why = operator === undefined ? error : `${operator}: ${reason}`
      table.push([projection, stream, revision, type, status, attempts, why].map((cell) => text(cell ?? '')))
    }
    return `${table.toString()}${page.nextCursor === null ? '' : '\nThere are more: --limit shows up to 200, --projection those of one.'}`
  })
}

/** `orderlog parked show`: everything about one event. */
export const showParked = async (projection: string, stream: string, revision: string, options: Options) => {
  await tell<Shown>(options, pathOf(projection, stream, revision), undefined, wordsOf)
}

interface Retried {
  readonly appliedCount: number
  readonly parkedCount: number
}

/** `orderlog parked retry`: applies a stream's events in order. Exit code 1 when some stay parked. */
export const retryParked = async (projection: string, stream: string, options: Decision): Promise<void> => {
  const path = `${pathOf(projection, stream)}/retry`
  const words = ({ appliedCount, parkedCount }: Retried): string =>
    `${appliedCount} applied, ${parkedCount} still parked.`
  const retried = await tell<Retried>(options, path, askedBy(options), words)
  if (retried && retried.parkedCount > 0) process.exitCode = 1
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
  const path = `${pathOf(projection, stream, revision)}/edit`
  const { data, type } = options
  const edit = { ...askedBy(options), data: dataOf(data), ...(type === undefined ? {} : { type }) }
  const words = (shown: Shown): string =>
    `${wordsOf({ ...shown, stack: null })}\nThe next retry of the stream applies it.`
  await tell(options, path, edit, words)
}

/** `orderlog parked discard`: the projection goes without the event. */
export const discardParked = async (
  projection: string,
  stream: string,
  revision: string,
  options: Decision,
): Promise<void> => {
  const path = `${pathOf(projection, stream, revision)}/discard`
  await tell<Shown & { parkedCount: number }>(options, path, askedBy(options), (shown) => {
    const left =
      shown.parkedCount === 0 ? 'Nothing else of the stream is parked.' : 'Retry the stream to apply the rest.'
    return `${wordsOf({ ...shown, stack: null })}\n${left}`
  })
}
