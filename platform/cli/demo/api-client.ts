import { setTimeout as sleep } from 'node:timers/promises'

export interface Reply {
  readonly status: number
  readonly body: Record<string, unknown>
  readonly headers: Headers
}

/** How long a request is repeated at most, and the longest pause in between, milliseconds. */
const patienceMs = 60_000
const longestPauseMs = 1_000

/**
 * A client as every shop should write one: each write carries an `Idempotency-Key`, and a write that met a 503, a lost
 * connection or "still running" is sent again with the same key, so that it happens once.
 */
export const createApiClient = (baseUrl: string) => {
  const send = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Reply> => {
    const response = await fetch(`${baseUrl}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? {} : JSON.parse(text), headers: response.headers }
  }

  const persistently = async (request: () => Promise<Reply>): Promise<Reply> => {
    const deadline = Date.now() + patienceMs
    for (let attempt = 1; ; attempt += 1) {
      try {
        const reply = await request()
        const again = reply.status === 503 || reply.body.code === 'request-in-progress'
        if (!again || Date.now() > deadline) return reply
      } catch (error) {
        if (Date.now() > deadline) throw error
      }
      await sleep(Math.min(longestPauseMs, 50 * 2 ** attempt))
    }
  }

  return {
    get: (path: string) => persistently(() => send('GET', path)),
    /** POST or PUT with a key of its own (or the given one), repeated until the outcome is known. */
    write: (method: 'POST' | 'PUT' | 'DELETE', path: string, body: unknown, key: string = crypto.randomUUID()) =>
      persistently(() => send(method, path, body, { 'Idempotency-Key': key })),
  }
}

export type ApiClient = ReturnType<typeof createApiClient>
