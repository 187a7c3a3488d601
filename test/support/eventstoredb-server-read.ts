import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js'
import { type handleServerStreamingCall, status } from '@grpc/grpc-js'
import { appendError } from './eventstoredb-server-append.ts'
import { type FaultState, serverError } from './eventstoredb-server-faults.ts'
import type { ServerLog } from './eventstoredb-server-log.ts'
import { notFound, readEvent, streamName } from './eventstoredb-server-messages.ts'
import { firstAfter, isPosition } from './eventstoredb-server-positions.ts'
import { type ReadCall, send } from './eventstoredb-server-send.ts'
import type { Recorded } from './eventstoredb-server-stream.ts'
import { subscribe } from './eventstoredb-server-subscribe.ts'

const backwards = (options: ReadReq.Options): boolean => options.getReadDirection() === 1

const ofStream = (options: ReadReq.Options, visible: readonly Recorded[]): Recorded[] => {
  const from = options.getStream()
  if (!from) return []
  const revision = from.hasRevision() ? BigInt(from.getRevision()) : undefined
  if (backwards(options)) {
    if (from.hasStart()) return visible.slice(0, 1)
    return visible.filter((event) => revision === undefined || event.revision <= revision).reverse()
  }
  if (from.hasEnd()) return []
  return visible.filter((event) => revision === undefined || event.revision >= revision)
}

/** Forwards the event at the position is included, backwards it is not. */
const ofAll = (options: ReadReq.Options, log: ServerLog): Recorded[] | undefined => {
  const from = options.getAll()
  const position = from?.getPosition()
  const commit = position && BigInt(position.getCommitPosition())
  if (commit !== undefined && !isPosition(log, commit)) return undefined
  if (backwards(options)) {
    if (from?.hasStart()) return []
    const until = commit === undefined ? log.all.length : firstAfter(log.all, commit - 1n)
    return log.all.slice(Math.max(0, until - Number(options.getCount())), until).reverse()
  }
  if (from?.hasEnd()) return []
  return log.all.slice(commit === undefined ? 0 : firstAfter(log.all, commit - 1n))
}

const read = async (call: ReadCall, options: ReadReq.Options, log: ServerLog, state: FaultState): Promise<void> => {
  const count = Number(options.getCount())
  if (count === 0) return void call.emit('error', serverError(status.INVALID_ARGUMENT, 'maxCount must be positive'))
  let events: Recorded[] | undefined
  if (options.hasStream()) {
    const name = streamName(options.getStream()?.getStreamIdentifier())
    const stream = log.stream(name)
    if (stream?.isTombstoned()) return void call.emit('error', appendError(name, { outcome: 'deleted' }))
    const visible = stream?.visible() ?? []
    if (visible.length === 0) {
      await send(call, notFound(name))
      return void call.end()
    }
    events = ofStream(options, visible)
  } else events = ofAll(options, log)
  if (!events) return void call.emit('error', serverError(status.UNKNOWN, 'Exception was thrown by handler.'))
  for (const event of events.slice(0, count)) {
    state.countRead()
    if (!(await send(call, readEvent(event, options.hasAll())))) return
  }
  call.end()
}

export const readHandler =
  (log: ServerLog, state: FaultState): handleServerStreamingCall<ReadReq, ReadResp> =>
  async (call) => {
    call.on('error', () => undefined)
    const refusal = state.refusal(call.metadata)
    if (refusal) return void call.emit('error', refusal)
    await state.pass('before')
    await state.pass('after')
    const options = call.request.getOptions()
    if (!options) return void call.emit('error', serverError(status.INVALID_ARGUMENT, 'no options'))
    if (options.hasSubscription()) await subscribe(call, options, log, state)
    else await read(call, options, log, state)
  }
