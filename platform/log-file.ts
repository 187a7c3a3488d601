import { createHash } from 'node:crypto'
import { StartupError } from './failures.ts'

/**
 * Ties a line of an exported log to all lines before it: a line that is changed, missing, doubled or out of place is
 * found where it is. It guards against damage, not against forgery, for anybody can compute it.
 *
 * @param previous of the line before, empty for the first
 * @param line JSON of the line, without its own
 * @returns 32 hex digits
 */
export const chainOf = (previous: string, line: string): string =>
  createHash('sha256').update(previous).update(line).digest('hex').slice(0, 32)

/** The line with its link in the chain as its last member. */
export const linked = (line: string, chain: string): string => `${line.slice(0, -1)},"chain":"${chain}"}\n`

const link = /,"chain":"([0-9a-f]{32})"\}$/

/** A line as it was before it was linked, and its link; undefined when it has none. */
export const unlinked = (line: string): { readonly line: string; readonly chain: string } | undefined => {
  const found = link.exec(line)
  return found?.[1] ? { line: `${line.slice(0, found.index)}}`, chain: found[1] } : undefined
}

export type LogTransferErrorCode =
  | 'import-not-an-export'
  | 'import-line-damaged'
  | 'import-line-invalid'
  | 'import-unknown-event'
  | 'import-out-of-order'
  | 'import-truncated'
  | 'import-log-differs'
  | 'import-platform-running'
  | 'import-another-running'
  | 'import-stopped'
  | 'import-unreadable'
  | 'export-no-such-position'
  | 'export-stopped'
  | 'engine-unavailable'

/** An export or import that cannot go on. The message ends with the code. */
export class LogTransferError extends StartupError {
  readonly code: LogTransferErrorCode
  constructor(code: LogTransferErrorCode, sentence: string, options?: { cause?: unknown }) {
    super(`${sentence} [${code}]`, options)
    this.name = 'LogTransferError'
    this.code = code
  }
}
