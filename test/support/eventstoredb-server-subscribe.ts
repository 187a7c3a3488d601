import { randomUUID } from 'node:crypto'
import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js'
import { status } from '@grpc/grpc-js'
import { appendError } from './eventstoredb-server-append.ts'
import { type FaultState, serverError } from './eventstoredb-server-faults.ts'
import type { ServerLog } from './eventstoredb-server-log.ts'
import { caughtUp, checkpoint, confirmation, readEvent, streamName } from './eventstoredb-server-messages.ts'
import { firstAfter, isPosition } from './eventstoredb-server-positions.ts'
import { type ReadCall, send } from './eventstoredb-server-send.ts'
import type { Recorded } from './eventstoredb-server-stream.ts'

/** What one subscriber follows: a list that grows, where to begin in it and what to pass on. */
interface Source {
  readonly events: () => readonly Recorded[]
  readonly first: number
  readonly wanted: (event: Recorded) => boolean
  /** Events looked at between two checkpoints; undefined: there are none. */
  readonly checkpointEvery: number | undefined
  readonly ofAll: boolean
  readonly saysCaughtUp: boolean
}

/** A node looks at so many events at a time when the client does not say. */
const defaultWindow = 32

const filterOf = (options: ReadReq.Options): Pick<Source, 'wanted' | 'checkpointEvery'> => {
  const filter = options.getFilter()
  const expression = filter?.getEventType() ?? filter?.getStreamIdentifier()
  if (!filter || !expression) return { wanted: () => true, checkpointEvery: undefined }
  const text = (event: Recorded) => (filter.hasEventType() ? event.type : event.stream)
  const prefixes = expression.getPrefixList()
  const regex = new RegExp(expression.getRegex())
  return {
    wanted: (event) =>
      prefixes.length > 0 ? prefixes.some((prefix) => text(event).startsWith(prefix)) : regex.test(text(event)),
    checkpointEvery: filter.getCheckpointintervalmultiplier() * (filter.hasMax() ? filter.getMax() : defaultWindow),
  }
}

const allSource = (options: ReadReq.Options, log: ServerLog): Source | undefined => {
  const from = options.getAll()
  const position = from?.getPosition()
  let first = from?.hasEnd() ? log.all.length : 0
  if (position) {
    const [commit, prepare] = [BigInt(position.getCommitPosition()), BigInt(position.getPreparePosition())]
    if (!isPosition(log, commit)) return undefined
    first = firstAfter(log.all, prepare < commit ? commit - 1n : commit)
  }
  return { events: () => log.all, first, ofAll: true, saysCaughtUp: true, ...filterOf(options) }
}

const streamSource = (options: ReadReq.Options, log: ServerLog): Source => {
  const from = options.getStream()
  const name = streamName(from?.getStreamIdentifier())
  const events = () => log.stream(name)?.visible() ?? []
  const revision = from?.hasRevision() ? BigInt(from.getRevision()) : -1n
  const known = events()
  const first = from?.hasEnd() ? known.length : known.filter((event) => event.revision <= revision).length
  const exists = known.length > 0
  return { events, first, wanted: () => true, checkpointEvery: undefined, ofAll: false, saysCaughtUp: exists }
}

/** Resolves at the next append, or when the subscription ends. */
const appended = (log: ServerLog, call: ReadCall, ended: Promise<void>): Promise<void> =>
  new Promise((resolve) => {
    const go = () => {
      stop()
      call.off('cancelled', go)
      resolve()
    }
    const stop = log.onAppended(go)
    call.once('cancelled', go)
    void ended.then(go)
  })

/** Catch-up, then live, until the client goes, a fault ends it, or the client is too slow while live. */
export const subscribe = async (
  call: ReadCall,
  options: ReadReq.Options,
  log: ServerLog,
  state: FaultState,
): Promise<void> => {
  const stream = streamName(options.getStream()?.getStreamIdentifier())
  if (log.stream(stream)?.isTombstoned()) return void call.emit('error', appendError(stream, { outcome: 'deleted' }))
  const source = options.hasAll() ? allSource(options, log) : streamSource(options, log)
  if (!source) return void call.emit('error', serverError(status.UNKNOWN, 'Exception was thrown by handler.'))

  let endNow = (): void => undefined
  let closing = false
  const ended = new Promise<void>((resolve) => {
    endNow = () => {
      closing = true
      resolve()
    }
  })
  const subscription = { end: endNow, silent: false }
  state.subscriptions.add(subscription)
  let next = source.first
  let live = false
  let sending = false
  // A node keeps so many live events for a subscriber that does not take them, and then drops it.
  const stopWatching = log.onAppended(() => {
    if (!live || !sending || closing || source.events().length - next <= state.liveBufferEvents) return
    endNow()
    state.countDropped()
    call.emit('error', serverError(status.ABORTED, 'Consumer too slow to handle event while live'))
  })
  const late: { readonly message: ReadResp; due: number }[] = []

  const sendLate = async (): Promise<void> => {
    for (const entry of late) entry.due -= 1
    for (let entry = late[0]; entry && entry.due < 0; entry = late[0]) {
      late.shift()
      await send(call, entry.message)
    }
  }

  try {
    await send(call, confirmation(randomUUID()))
    let looked = 0
    while (!call.cancelled && !closing) {
      const event = subscription.silent ? undefined : source.events()[next]
      if (!event) {
        if (!live && source.saysCaughtUp) await send(call, caughtUp())
        live = true
        if (subscription.silent || !source.events()[next]) await appended(log, call, ended)
        continue
      }
      next += 1
      looked += 1
      sending = true
      if (source.wanted(event))
        for (let time = 0; time < state.eventTimes; time += 1) await send(call, readEvent(event, source.ofAll))
      sending = false
      if (source.checkpointEvery !== undefined && looked % source.checkpointEvery === 0) {
        const following = source.events()[next]?.position ?? log.end()
        const message = live ? checkpoint(event.position, event.position) : checkpoint(following, 0n)
        late.push({ message, due: state.checkpointDelay })
      }
      await sendLate()
    }
    if (closing) call.end()
  } finally {
    stopWatching()
    state.subscriptions.delete(subscription)
  }
}
