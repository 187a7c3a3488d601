import type { EventStore } from '../../platform/event-store.ts'
import type { Projection, ProjectionSink, SinkBatch } from '../../projections/projection.ts'
import { orderLife } from './order-events.ts'
import { append } from './projection-rig.ts'

/** Writers that append the lives of orders as fast as they can, until they are told to end. */
export const startOrderWriters = (store: EventStore, count = 4) => {
  let open = true
  let orders = 0
  const going = Promise.all(
    Array.from({ length: count }, async (_, writer) => {
      for (let index = 0; open; index += 1) {
        const life = orderLife({ customerId: `writer-${writer}` })
        await append(store, life.placed)
        await append(store, life.confirmed)
        if (index % 3 === 0) await append(store, life.shipped)
        if (index % 5 === 0) await append(store, life.cancelled(true))
        orders += 1
      }
    }),
  )
  going.catch(() => undefined)
  return {
    orders: () => orders,
    end: async () => {
      open = false
      await going
    },
  }
}

/** Makes an apply of a generation fail or wait, for tests. */
export const intercepted = (
  projection: Projection,
  apply: (
    generation: number,
    batch: Parameters<Projection['sink']['apply']>[0],
    go: () => Promise<'applied' | 'fenced'>,
  ) => Promise<'applied' | 'fenced'>,
): Projection => {
  const { generations } = projection
  if (!generations) throw new Error(`${projection.name} has no generations`)
  return {
    ...projection,
    generations: {
      ...generations,
      at: (generation) => {
        const sink = generations.at(generation)
        const over = <Sink extends Pick<ProjectionSink, 'apply'>>(inner: Sink): Sink => ({
          ...inner,
          apply: (batch: SinkBatch) => apply(generation, batch, () => inner.apply(batch)),
        })
        const { inWindows } = sink
        return { ...over(sink), ...(inWindows ? { inWindows: (windowEvents) => over(inWindows(windowEvents)) } : {}) }
      },
    },
  }
}
