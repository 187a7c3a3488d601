import shared from '@eventstore/db-client/generated/shared_pb.js'
import type { AppendReq, AppendResp } from '@eventstore/db-client/generated/streams_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import { type handleClientStreamingCall, status } from '@grpc/grpc-js'
import { type FaultState, serverError } from './eventstoredb-server-faults.ts'
import { maxAppendSize, type ServerLog, type Written } from './eventstoredb-server-log.ts'
import { streamName, uuidText } from './eventstoredb-server-messages.ts'
import type { Expected, Proposed } from './eventstoredb-server-stream.ts'

interface ProposedMessage {
  getId(): import('@eventstore/db-client/generated/shared_pb.js').UUID | undefined
  getMetadataMap(): { get(key: string): string | undefined }
  getData_asU8(): Uint8Array
  getCustomMetadata_asU8(): Uint8Array
}

/** The same message is declared twice, for single and for batch appends. */
export const proposed = (message: ProposedMessage): Proposed => ({
  id: uuidText(message.getId()),
  type: message.getMetadataMap().get('type') ?? '',
  contentType: message.getMetadataMap().get('content-type') ?? '',
  data: message.getData_asU8(),
  metadata: message.getCustomMetadata_asU8(),
})

/** What every refused append but a wrong version is answered with. */
export const appendError = (stream: string, written: Written) =>
  written.outcome === 'too-large'
    ? serverError(status.INVALID_ARGUMENT, 'Maximum Append Size Exceeded.', {
        exception: 'maximum-append-size-exceeded',
        'maximum-append-size': String(maxAppendSize),
      })
    : serverError(status.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, {
        exception: 'stream-deleted',
        'stream-name': stream,
      })

const expectedOf = (options: AppendReq.Options): Expected => {
  if (options.hasRevision()) return BigInt(options.getRevision())
  if (options.hasNoStream()) return 'none'
  return options.hasStreamExists() ? 'exists' : 'any'
}

const response = (written: Written): AppendResp => {
  const answer = new streams.AppendResp()
  if (written.outcome === 'wrong-version') {
    const wrong = new streams.AppendResp.WrongExpectedVersion()
    if (written.actual === 'none') wrong.setCurrentNoStream(new shared.Empty())
    else wrong.setCurrentRevision(String(written.actual))
    if (written.expected === 'none') wrong.setExpectedNoStream(new shared.Empty())
    else if (written.expected === 'any') wrong.setExpectedAny(new shared.Empty())
    else if (written.expected === 'exists') wrong.setExpectedStreamExists(new shared.Empty())
    else wrong.setExpectedRevision(String(written.expected))
    return answer.setWrongExpectedVersion(wrong)
  }
  const success = new streams.AppendResp.Success()
  if (written.outcome === 'written') {
    const position = String(written.position)
    success.setPosition(new streams.AppendResp.Position().setCommitPosition(position).setPreparePosition(position))
    if (written.revision === 'none') success.setNoStream(new shared.Empty())
    else success.setCurrentRevision(String(written.revision))
  }
  return answer.setSuccess(success)
}

/** The single append: options first, then the events, then one answer. */
export const appendHandler =
  (log: ServerLog, state: FaultState): handleClientStreamingCall<AppendReq, AppendResp> =>
  (call, callback) => {
    const refusal = state.refusal(call.metadata)
    if (refusal) return callback(refusal)
    const events: Proposed[] = []
    let stream = ''
    let expected: Expected = 'any'
    call.on('data', (request: AppendReq) => {
      const options = request.getOptions()
      const message = request.getProposedMessage()
      if (options) {
        stream = streamName(options.getStreamIdentifier())
        expected = expectedOf(options)
      } else if (message) events.push(proposed(message))
    })
    call.on('end', async () => {
      await state.pass('before')
      const written = log.append(stream, expected, events)
      await state.pass('after')
      if (written.outcome === 'deleted' || written.outcome === 'too-large') callback(appendError(stream, written))
      else callback(null, response(written))
    })
    call.on('error', () => undefined)
  }
