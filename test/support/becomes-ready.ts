import { eventually } from './eventually.ts'
import { send } from './shop-client.ts'

/** Waits until a platform says that it is ready: a check that takes a busy machine longer than a second says it is not. */
export const becomesReady = async (url: string): Promise<void> => {
  await eventually(
    () => send(url, 'GET', '/health/ready'),
    ({ status }) => status === 200,
    { what: `readiness of ${url}` },
  )
}
