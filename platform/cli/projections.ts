import Table from 'cli-table3'
import type { ProjectionSummary, ProjectionView, RebuildView } from '../../schemas/views.ts'
import { type AskedOptions, answering, askedBy, createPlatformClient } from './platform-client.ts'
import { follow, tell } from './rebuild.ts'
import { count, outcomeOf } from './rebuild-text.ts'

const plain = { head: [], border: [], compact: true }

const pathOf = (name: string): string => `/v1/projections/${encodeURIComponent(name)}`

/** Of the partition that is farthest behind; null when nobody knows. */
const lagOf = ({ partitions }: ProjectionSummary): bigint | null => {
  let most: bigint | null = null
  for (const { lagEvents } of partitions)
    if (lagEvents !== null && (most === null || BigInt(lagEvents) > most)) most = BigInt(lagEvents)
  return most
}

/** Which are stale and which are being rebuilt, a sentence each; none when all is as it should be. */
export const notices = (
  projections: readonly Pick<ProjectionSummary, 'name' | 'generation' | 'stale' | 'rebuild'>[],
): string[] =>
  projections.flatMap(({ name, generation, stale, rebuild }) => [
    // Without a generation there is no read model, and nothing to rebuild: the saga, say.
    ...(stale && generation === null
      ? [`${name} is stale: ${stale}. "orderlog rebuild --stale" lets it begin anew.`]
      : []),
    ...(stale && generation !== null ? [`${name} is stale: ${stale}. "orderlog rebuild ${name}" builds it anew.`] : []),
    ...(rebuild
      ? [
          rebuild.state === 'running'
            ? `${name} is being rebuilt: generation ${rebuild.generation}, ${rebuild.phase}, ${rebuild.percent} %.`
            : `The rebuild of ${name} (generation ${rebuild.generation}) ${rebuild.state === 'failed' ? 'has failed' : 'was cancelled'} while ${rebuild.phase}: "orderlog rebuild ${name} --resume", or "orderlog projections drop ${name} ${rebuild.generation}".`,
        ]
      : []),
  ])

/** `orderlog projections`: every read model, its version and generation, and what there is to be done about it. */
export const listProjections = (options: AskedOptions): Promise<void> =>
  answering(options, async () => {
    const answer = await createPlatformClient().get<{ projections: ProjectionSummary[] }>('/v1/projections')
    if (options.json) return console.log(JSON.stringify(answer))
    const head = ['consumer', 'version', 'generation', 'events behind', 'parked']
    const table = new Table({ head, style: plain })
    for (const each of answer.projections) {
      const lag = lagOf(each)
      table.push([
        ...[each.name, each.version ?? '-', each.generation ?? '-'],
        ...[lag === null ? (each.error ?? 'unknown') : count(String(lag)), each.parkedEventCount],
      ])
    }
    console.log([table.toString(), ...notices(answer.projections)].join('\n'))
  })

/** `orderlog projections generations`: what there is of one, and its last rebuild. */
export const listGenerations = (name: string, options: AskedOptions): Promise<void> =>
  answering(options, async () => {
    const view = await createPlatformClient().get<ProjectionView>(pathOf(name))
    if (options.json) return console.log(JSON.stringify(view))
    const head = ['generation', 'version', 'state', 'created', 'replaced', 'parked']
    const table = new Table({ head, style: plain })
    for (const { generation, version, state, createdAt, replacedAt, parkedEventCount } of view.generations)
      table.push([generation, version, state, createdAt, replacedAt ?? '', parkedEventCount])
    console.log(
      [
        `${name}: version of the code ${view.codeVersion ?? 'unknown'}${view.stale ? `; stale: ${view.stale}` : ''}`,
        table.toString(),
        ...(view.rebuild ? [`Last rebuild: ${outcomeOf(view.rebuild)}`] : []),
      ].join('\n'),
    )
  })

/** `orderlog projections swap-back`: the generation that was live before is live again. */
export const swapBack = (name: string, options: AskedOptions & { readonly detach?: boolean }): Promise<void> =>
  answering(options, async () => {
    const client = createPlatformClient()
    const begun = await client.post<RebuildView>(`${pathOf(name)}/swap-back`, askedBy(options))
    if (options.detach) return tell([begun], options)
    await follow(client, [begun], options)
    if (options.json) return
    // One that another version has built serves what it has, and no more: nobody should have to find that out.
    const { generation, stale } = await client.get<ProjectionView>(pathOf(name))
    for (const notice of notices([{ name, generation, stale, rebuild: null }])) console.log(notice)
  })

/** `orderlog projections drop`: removes a generation that is neither live nor being built. */
export const dropGeneration = (name: string, generation: number, options: AskedOptions): Promise<void> =>
  answering(options, async () => {
    const answer = await createPlatformClient().post(`${pathOf(name)}/generations/${generation}/drop`, askedBy(options))
    console.log(options.json ? JSON.stringify(answer) : `${name}: generation ${generation} was dropped.`)
  })
