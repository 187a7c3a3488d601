import { randomUUID } from 'node:crypto'
import type { Answer } from './ask.ts'
import { eventually } from './eventually.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH' | 'HEAD'

/** Sends one request. A body of text or bytes goes as it is, any other as JSON. */
export const send = async (
  url: string,
  method: Method,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> => {
  const response = await fetch(url + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
    ...(body === undefined
      ? {}
      : { body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) }
}

export const product = (sku: string, amount: number, name = `Thing ${sku}`) => ({
  ...{ sku, name, description: `What ${name} is good for`, brand: 'Acme', category: 'Things' },
  price: { amount, currency: 'EUR' },
})

export const placeOrder = (
  lines: readonly { readonly sku: string; readonly quantity: number }[],
  options: { readonly customerId?: string; readonly paymentToken?: string } = {},
) => ({
  customer: { id: options.customerId ?? 'ada', name: 'Ada Lovelace', email: 'ada@example.com' },
  shippingAddress: { street: '1 Analytical Way', city: 'London', postalCode: 'N1', country: 'GB' },
  lines,
  paymentToken: options.paymentToken ?? 'tok_approve',
})

/** A reply that leaves the outcome open: the same request, under the same key, may be sent again. */
const open = ({ status, body }: Answer): boolean => status === 503 || body?.code === 'request-in-progress'

/**
 * A shop's client as it should be: whatever happens to the platform, each write is repeated under one key until it is answered.
 *
 * @param onAnswer is told every answer, also those that are not the last
 */
export const createShopClient = (url: string, onAnswer: (answer: Answer) => void = () => undefined) => {
  const write = (method: Method, path: string, body?: unknown, key: string = randomUUID()): Promise<Answer> =>
    eventually(
      () => send(url, method, path, body, { 'Idempotency-Key': key }),
      (answer) => {
        onAnswer(answer)
        return !open(answer)
      },
      { what: `an answer to ${method} ${path}`, everyMs: 100 },
    )
  return {
    get: (path: string, headers?: Readonly<Record<string, string>>) => send(url, 'GET', path, undefined, headers),
    write,
    /** Registers a product and takes units of it into stock. */
    stock: async (sku: string, units: number, amount = 1_000): Promise<void> => {
      for (const [path, body] of [
        ['/v1/products', product(sku, amount)],
        [`/v1/products/${sku}/stock`, { receive: units }],
      ] as const) {
        const answer = await write('POST', path, body)
        if (answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer.body)}`)
      }
    },
    /** Waits until an order is in one of the states. */
    orderIn: (orderId: string, ...statuses: string[]): Promise<Answer> =>
      eventually(
        () => send(url, 'GET', `/v1/orders/${orderId}`),
        ({ body }) => statuses.includes(body?.status),
        { what: `order ${orderId} ${statuses.join(' or ')}` },
      ),
  }
}

export type ShopClient = ReturnType<typeof createShopClient>
