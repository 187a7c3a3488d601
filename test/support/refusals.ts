import { expect } from 'vitest'
import type { Answer } from './ask.ts'

/**
 * Checks that a 503 says what every one has to: problem details with a code, the engine when it is one that is away, and
 * when to come back.
 *
 * @param problem what else it has to say, such as `{ engine: 'Redis' }`
 */
export const expectRefusal = ({ status, headers, body }: Answer, problem: Readonly<Record<string, unknown>>): void => {
  expect({ status, body }).toMatchObject({ status: 503, body: { status: 503, code: 'engine-unavailable', ...problem } })
  expect(headers.get('content-type')).toBe('application/problem+json; charset=utf-8')
  expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
}
