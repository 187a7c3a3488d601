import type { DeleteReq, DeleteResp, TombstoneReq, TombstoneResp } from '@eventstore/db-client/generated/streams_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import { type handleUnaryCall, status } from '@grpc/grpc-js'
import { appendError } from './eventstoredb-server-append.ts'
import { type FaultState, serverError } from './eventstoredb-server-faults.ts'
import type { ServerLog, Written } from './eventstoredb-server-log.ts'
import { streamName } from './eventstoredb-server-messages.ts'
import type { Expected } from './eventstoredb-server-stream.ts'

/** Both removals have the same options, declared twice. */
const asked = (options: DeleteReq.Options | TombstoneReq.Options | undefined): [string, Expected] => {
  const stream = streamName(options?.getStreamIdentifier())
  if (options?.hasRevision()) return [stream, BigInt(options.getRevision())]
  if (options?.hasNoStream()) return [stream, 'none']
  return [stream, options?.hasStreamExists() ? 'exists' : 'any']
}

const refused = (stream: string, written: Written) =>
  written.outcome === 'wrong-version'
    ? serverError(status.FAILED_PRECONDITION, 'Removal failed due to WrongExpectedVersion.', {
        exception: 'wrong-expected-version',
        'stream-name': stream,
        'expected-version': String(typeof written.expected === 'bigint' ? written.expected : -1),
        ...(written.actual === 'none' ? {} : { 'actual-version': String(written.actual) }),
      })
    : appendError(stream, written)

export const deleteHandler =
  (log: ServerLog, state: FaultState): handleUnaryCall<DeleteReq, DeleteResp> =>
  async (call, callback) => {
    await state.pass('before')
    const [stream, expected] = asked(call.request.getOptions())
    const written = log.softDelete(stream, expected)
    if (written.outcome !== 'written') return callback(refused(stream, written))
    const at = String(written.position)
    const position = new streams.DeleteResp.Position().setCommitPosition(at).setPreparePosition(at)
    callback(null, new streams.DeleteResp().setPosition(position))
  }

export const tombstoneHandler =
  (log: ServerLog, state: FaultState): handleUnaryCall<TombstoneReq, TombstoneResp> =>
  async (call, callback) => {
    await state.pass('before')
    const [stream, expected] = asked(call.request.getOptions())
    const written = log.tombstone(stream, expected)
    if (written.outcome !== 'written') return callback(refused(stream, written))
    const at = String(written.position)
    const position = new streams.TombstoneResp.Position().setCommitPosition(at).setPreparePosition(at)
    callback(null, new streams.TombstoneResp().setPosition(position))
  }
