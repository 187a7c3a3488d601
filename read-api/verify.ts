import type { Static } from 'typebox'
import type { HttpServer } from '../platform/http-server.ts'
import type { RebuildPhase } from '../projections/rebuild.ts'
import type { Difference, Verifier, VerifyReport } from '../projections/verify.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { ConsumerParams } from '../schemas/queries.ts'
import { VerifyRequest } from '../schemas/requests.ts'
import { overReadModels } from './absent-read-model.ts'
import type { ReadApiDependencies } from './dependencies.ts'

const toDifference = ({ since, ...difference }: Difference) => ({
  ...difference,
  since: since && { ...since, position: String(since.position), revision: String(since.revision) },
})

const toView = ({ repaired, ...report }: VerifyReport) => ({
  ...report,
  position: String(report.position),
  differences: report.differences.map(toDifference),
  repaired: repaired && { ...repaired, differences: repaired.differences.map(toDifference) },
})

const unverifiable: ReadonlySet<RebuildPhase> = new Set<RebuildPhase>(['loading', 'indexing'])

/**
 * `POST /v1/projections/:name/verify`: answers when it is done, however long that takes; it is given up when the client
 * goes away or the server stops.
 */
export const registerVerify = (
  server: HttpServer,
  { verifier, rebuilds }: { readonly verifier: Verifier } & Pick<ReadApiDependencies, 'rebuilds'>,
): void => {
  /** One that does not exist must not be made by who looks at it. */
  const notLive = async (name: string, generation: number | undefined): Promise<number | undefined> => {
    if (generation === undefined) return undefined
    const found = (await rebuilds.generations(name)).find((each) => each.generation === generation)
    if (!found) throw new CommandRejected('generation-not-found', { projection: name, generation })
    if (found.state === 'live') return undefined
    // The checkpoints of its lanes would be taken for those of partitions of the feed.
    const rebuild = (await rebuilds.rebuilds(name)).find((each) => each.generation === generation)
    if (found.state === 'building' && rebuild && unverifiable.has(rebuild.phase))
      throw new CommandRejected('verify-generation-loading', { projection: name, generation, phase: rebuild.phase })
    return generation
  }

  const stopping = new AbortController()
  server.addHook('preClose', async () => stopping.abort())
  server.post(
    '/v1/projections/:name/verify',
    { schema: { params: ConsumerParams, body: VerifyRequest } },
    async (request, reply) => {
      const { name } = request.params as Static<typeof ConsumerParams>
      const { at, generation: wanted, ...options } = request.body as Static<typeof VerifyRequest>
      const gone = new AbortController()
      const abort = () => gone.abort()
      reply.raw.once('close', abort)
      const signal = AbortSignal.any([gone.signal, stopping.signal])
      try {
        const position = at === undefined ? undefined : BigInt(at)
        const generation = await notLive(name, wanted)
        const all = { ...options, generation, at: position, signal }
        return toView(await overReadModels(() => verifier.verify(name, all)))
      } catch (error) {
        if (signal.aborted) throw new CommandRejected('shutting-down')
        throw error
      } finally {
        reply.raw.off('close', abort)
      }
    },
  )
}
