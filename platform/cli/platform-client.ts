import { userInfo } from 'node:os'
import type { Problem } from '../../schemas/errors.ts'
import { StartupError } from '../failures.ts'
import { askPlatform, baseUrl, refusalOf } from './ask.ts'

/** The platform has refused what it was asked for. */
export class Refused extends StartupError {
  readonly problem: Partial<Problem>
  readonly status: number
  constructor(status: number, problem: Partial<Problem>) {
    super(`${typeof problem.projection === 'string' ? `${problem.projection}: ` : ''}${refusalOf(problem)}`)
    this.name = 'Refused'
    this.status = status
    this.problem = problem
  }
}

/** The running platform, for commands that ask it by HTTP. Refusals are `Refused`; when nobody answers, `NoAnswer`. */
export interface PlatformClient {
  get<T>(path: string): Promise<T>
  post<T>(path: string, body: unknown): Promise<T>
}

/** A dry run counts the log and builds a scratch generation first. */
const patienceMs = 120_000

/**
 * The platform at ORDERLOG_HOST and ORDERLOG_PORT.
 *
 * @param waitMs for an answer; default 120,000
 */
export const createPlatformClient = (waitMs: number | 'forever' = patienceMs): PlatformClient => {
  const base = baseUrl()
  const ask = async <T>(path: string, body?: unknown): Promise<T> => {
    const reply = await askPlatform(base, path, { body, waitMs })
    if (!reply.ok) throw new Refused(reply.status, reply.body as Partial<Problem>)
    return reply.body as T
  }
  return { get: ask, post: ask }
}

export interface AskedOptions {
  readonly operator?: string
  readonly reason?: string
  readonly json?: boolean
}

/** Who asks, and why: the user of the operating system unless another one is named. */
export const askedBy = ({ operator, reason }: AskedOptions): { operator: string; reason?: string } => {
  const user = (): string => {
    try {
      return userInfo().username
    } catch {
      throw new StartupError('The operating system does not know your name: say who you are with --operator.')
    }
  }
  return { operator: operator ?? user(), ...(reason === undefined ? {} : { reason }) }
}

/** With `--json` a refusal, too, is JSON on standard output; exit code 1. */
export const answering = async ({ json }: AskedOptions, work: () => Promise<void>): Promise<void> => {
  try {
    await work()
  } catch (error) {
    if (!json || !(error instanceof Refused)) throw error
    console.log(JSON.stringify({ problem: error.problem }))
    process.exitCode = 1
  }
}
