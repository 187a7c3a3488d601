import { request } from 'node:http'
import { json } from 'node:stream/consumers'
import { readConfig } from '../config.ts'
import { StartupError } from '../failures.ts'

/** The platform itself gives an engine that hangs up to 5 s, one after the other. */
const patienceMs = 30_000

export interface Reply {
  readonly ok: boolean
  /** Of HTTP. */
  readonly status: number
  readonly body: unknown
}

/** Nobody answers where the platform should be. */
export class NoAnswer extends StartupError {
  constructor(base: string, cause: unknown) {
    super(`No Orderlog answers on ${base}: is it running, and on that port (ORDERLOG_PORT)?`, { cause })
    this.name = 'NoAnswer'
  }
}

/** What a refusal says, in one sentence with its code. */
export const refusalOf = (body: unknown): string => {
  const { title, detail, code } = body as { title?: string; detail?: string; code?: string }
  return `${[title, detail].filter((part) => part !== undefined).join(' ')}${code === undefined ? '' : ` (${code})`}`
}

/** Where the platform listens by the configuration: ORDERLOG_HOST and ORDERLOG_PORT. */
export const baseUrl = (): string => {
  const { host, port } = readConfig()
  return `http://${host}:${port}`
}

/**
 * Asks the running platform.
 *
 * @param asking.body posted when there is one
 * @param asking.waitMs for the answer; `forever`: it takes as long as the log is long
 * @throws NoAnswer
 */
export const askPlatform = (
  base: string,
  path: string,
  { body, waitMs = patienceMs }: { readonly body?: unknown; readonly waitMs?: number | 'forever' } = {},
): Promise<Reply> =>
  // `fetch` has limits of its own, which do not end.
  new Promise((resolve, reject) => {
    const failed = (error: unknown): void => reject(new NoAnswer(base, error))
    const posted = body === undefined ? undefined : JSON.stringify(body)
    const asking = request(
      new URL(path, base),
      {
        ...(posted === undefined ? {} : { method: 'POST', headers: { 'Content-Type': 'application/json' } }),
        ...(waitMs === 'forever' ? {} : { signal: AbortSignal.timeout(waitMs) }),
      },
      (response) => {
        json(response).then((answer) => {
          const { statusCode: status = 0 } = response
          resolve({ ok: status >= 200 && status < 300, status, body: answer })
        }, failed)
      },
    )
    asking.on('error', failed)
    asking.end(posted)
  })
