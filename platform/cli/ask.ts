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
 * @param waitMs for the answer
 * @throws NoAnswer
 */
export const askPlatform = async (
  base: string,
  path: string,
  body?: unknown,
  waitMs: number = patienceMs,
): Promise<Reply> => {
  try {
    const response = await fetch(base + path, {
      signal: AbortSignal.timeout(waitMs),
      ...(body === undefined
        ? {}
        : { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    })
    return { ok: response.ok, status: response.status, body: await response.json() }
  } catch (error) {
    throw new NoAnswer(base, error)
  }
}
