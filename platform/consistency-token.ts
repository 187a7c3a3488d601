/** What a write hands out and a read can wait for: a place in one particular log. */
export interface ConsistencyToken {
  /** First eight hex digits of the log's identity: a token of another or restored log is recognised. */
  readonly log: string
  readonly position: bigint
}

/** A position is a signed 64-bit integer in every store. */
const highestPosition = 2n ** 63n - 1n

/** `<log>-<position>`, opaque to clients. */
export const formatConsistencyToken = (logIdentity: string, position: bigint): string =>
  `${logIdentity.replaceAll('-', '').slice(0, 8)}-${position}`

/** The token, or undefined when the text is not one that this log issued. */
export const parseConsistencyToken = (logIdentity: string, text: string): ConsistencyToken | undefined => {
  const [, log, position] = /^([0-9a-f]{8})-(0|[1-9]\d{0,18})$/.exec(text) ?? []
  if (log === undefined || position === undefined || log !== logIdentity.replaceAll('-', '').slice(0, 8))
    return undefined
  const place = BigInt(position)
  return place <= highestPosition ? { log, position: place } : undefined
}
