import code from '@eventstore/db-client/generated/code_pb.js'
import shared from '@eventstore/db-client/generated/shared_pb.js'
import type { Status } from '@eventstore/db-client/generated/status_pb.js'
import statusMessages from '@eventstore/db-client/generated/status_pb.js'
import type { BatchAppendReq, BatchAppendResp } from '@eventstore/db-client/generated/streams_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import type { handleBidiStreamingCall } from '@grpc/grpc-js'
import any from 'google-protobuf/google/protobuf/any_pb.js'
import empty from 'google-protobuf/google/protobuf/empty_pb.js'
import { proposed } from './eventstoredb-server-append.ts'
import type { FaultState } from './eventstoredb-server-faults.ts'
import { maxAppendSize, type ServerLog, type Written } from './eventstoredb-server-log.ts'
import { streamIdentifier, streamName, uuid, uuidText } from './eventstoredb-server-messages.ts'
import type { Expected, Proposed } from './eventstoredb-server-stream.ts'

interface Batch {
  readonly options: BatchAppendReq.Options
  readonly events: Proposed[]
}

const expectedOf = (options: BatchAppendReq.Options): Expected => {
  if (options.hasStreamPosition()) return BigInt(options.getStreamPosition())
  if (options.hasNoStream()) return 'none'
  return options.hasStreamExists() ? 'exists' : 'any'
}

const packed = (name: string, message: { serializeBinary(): Uint8Array }): Status => {
  const details = new any.Any()
  details.pack(message.serializeBinary(), `event_store.client.${name}`)
  return new statusMessages.Status().setCode(code.Code.FAILED_PRECONDITION).setDetails(details)
}

const wrongVersion = (expected: Expected, actual: bigint | 'none'): Status => {
  const wrong = new shared.WrongExpectedVersion()
  if (actual === 'none') wrong.setCurrentNoStream(new empty.Empty())
  else wrong.setCurrentStreamRevision(String(actual))
  if (expected === 'none') wrong.setExpectedNoStream(new empty.Empty())
  else if (expected === 'any') wrong.setExpectedAny(new empty.Empty())
  else if (expected === 'exists') wrong.setExpectedStreamExists(new empty.Empty())
  else wrong.setExpectedStreamPosition(String(expected))
  return packed('WrongExpectedVersion', wrong)
}

const response = (stream: string, written: Written): BatchAppendResp => {
  const answer = new streams.BatchAppendResp().setStreamIdentifier(streamIdentifier(stream))
  switch (written.outcome) {
    case 'wrong-version':
      return answer.setError(wrongVersion(written.expected, written.actual))
    case 'deleted':
      return answer.setError(
        packed('StreamDeleted', new shared.StreamDeleted().setStreamIdentifier(streamIdentifier(stream))),
      )
    case 'too-large':
      return answer.setError(
        packed('MaximumAppendSizeExceeded', new shared.MaximumAppendSizeExceeded().setMaxappendsize(maxAppendSize)),
      )
    case 'written': {
      const position = String(written.position)
      const success = new streams.BatchAppendResp.Success().setPosition(
        new shared.AllStreamPosition().setCommitPosition(position).setPreparePosition(position),
      )
      if (written.revision === 'none') success.setNoStream(new empty.Empty())
      else success.setCurrentRevision(String(written.revision))
      return answer.setSuccess(success)
    }
  }
}

/** Appends of one client in one stream, each under a correlation id and cut into as many messages as the client likes. */
export const batchAppendHandler =
  (log: ServerLog, state: FaultState): handleBidiStreamingCall<BatchAppendReq, BatchAppendResp> =>
  (call) => {
    const begun = new Map<string, Batch>()
    const finish = async (correlation: string, { options, events }: Batch): Promise<void> => {
      const refusal = state.refusal(call.metadata)
      if (refusal) {
        call.emit('error', refusal)
        return
      }
      await state.pass('before')
      const stream = streamName(options.getStreamIdentifier())
      const written = log.append(stream, expectedOf(options), events)
      await state.pass('after')
      if (!call.cancelled) call.write(response(stream, written).setCorrelationId(uuid(correlation)))
    }
    call.on('data', (request: BatchAppendReq) => {
      const correlation = uuidText(request.getCorrelationId())
      const options = request.getOptions()
      const batch = begun.get(correlation) ?? (options && { options, events: [] })
      if (!batch) return
      batch.events.push(...request.getProposedMessagesList().map(proposed))
      begun.set(correlation, batch)
      if (!request.getIsFinal()) return
      begun.delete(correlation)
      void finish(correlation, batch)
    })
    call.on('end', () => call.end())
    call.on('error', () => undefined)
  }
