import type { FastifyReply } from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { HttpServer } from '../platform/http-server.ts'
import type { Asked, Rebuild } from '../projections/rebuild.ts'
import { strict } from '../schemas/primitives.ts'
import { ConsumerParams, GenerationParams } from '../schemas/queries.ts'
import { AskedRequest, RebuildRequest, RebuildSeveralRequest } from '../schemas/requests.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { headOf } from './head.ts'
import { toRebuildPlanView, toRebuildView } from './rebuild-view.ts'

const nothing = strict({})

type Named = Static<typeof ConsumerParams>

/**
 * What an operator asks for about read models: rebuild, cancel, resume, swap back, drop. It is written down and answered
 * 202; a process that runs projections does it, and `GET /v1/projections/:name` tells how far it is.
 */
export const registerRebuilds = (
  server: HttpServer,
  deps: Pick<ReadApiDependencies, 'store' | 'knownProjections' | 'rebuilds'>,
): void => {
  const { rebuilds } = deps

  const post = <Params extends TSchema, Body extends TSchema>(
    path: string,
    schema: { readonly params: Params; readonly body: Body },
    answer: (params: Static<Params>, body: Static<Body>, reply: FastifyReply) => Promise<unknown>,
  ) =>
    server.post(path, { schema }, (request, reply) =>
      answer(request.params as Static<Params>, request.body as Static<Body>, reply),
    )

  const accepted = async (reply: FastifyReply, rebuild: Rebuild) => {
    reply.code(202).header('Location', `/v1/projections/${rebuild.projection}`)
    return toRebuildView(rebuild, await headOf(deps.store))
  }

  /** Those that the words stand for; none when nothing is stale. */
  const chosen = async (wanted: Static<typeof RebuildSeveralRequest>['projections']): Promise<readonly string[]> => {
    if (wanted === 'stale')
      return (await rebuilds.stale()).flatMap(({ projection, mend }) => (mend === 'reset' ? [] : [projection]))
    if (wanted !== 'all') return wanted
    return deps.knownProjections.flatMap(({ name, rebuildable }) => (rebuildable ? [name] : []))
  }

  post(
    '/v1/projections/:name/rebuild',
    { params: ConsumerParams, body: RebuildRequest },
    async (params, body, reply) => {
      if (body.dryRun) {
        const [plan] = await rebuilds.plan([params.name])
        return plan && toRebuildPlanView(plan)
      }
      const [rebuild] = await rebuilds.start([params.name], body, { sample: body.sample })
      return rebuild && accepted(reply, rebuild)
    },
  )

  post('/v1/projections/rebuild', { params: nothing, body: RebuildSeveralRequest }, async (_, body, reply) => {
    // The saga, the relay: what is ahead of a log that was put back and cannot be rebuilt begins anew.
    const resets = body.projections === 'stale' && !body.dryRun
    const reset = resets ? { reset: await rebuilds.reset(body) } : {}
    const names = await chosen(body.projections)
    if (body.dryRun) return { plans: names.length === 0 ? [] : (await rebuilds.plan(names)).map(toRebuildPlanView) }
    if (names.length === 0) return { rebuilds: [], ...reset }
    const started = await rebuilds.start(names, body, { sample: body.sample })
    const head = await headOf(deps.store)
    reply.code(202).header('Location', '/v1/projections')
    return { rebuilds: started.map((rebuild) => toRebuildView(rebuild, head)), ...reset }
  })

  const changes: Record<string, (projection: string, asked: Asked) => Promise<Rebuild>> = {
    'rebuild/cancel': (name, asked) => rebuilds.cancel(name, asked),
    'rebuild/resume': (name, asked) => rebuilds.resume(name, asked),
    'swap-back': (name, asked) => rebuilds.swapBack(name, asked),
  }
  for (const [path, change] of Object.entries(changes))
    post(
      `/v1/projections/:name/${path}`,
      { params: ConsumerParams, body: AskedRequest },
      async ({ name }: Named, asked, reply) => accepted(reply, await change(name, asked)),
    )

  post(
    '/v1/projections/:name/generations/:generation/drop',
    { params: GenerationParams, body: AskedRequest },
    async ({ name, generation }, asked) => {
      await rebuilds.drop(name, Number(generation), asked)
      return { projection: name, generation: Number(generation), dropped: true }
    },
  )
}
