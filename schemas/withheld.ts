/** Members of events that stay inside: ciphertext is of no use to a reader, and a token or key is nobody's business. */
const withheld = new Set(['personal', 'paymentToken', 'gatewayKey'])

const split = (data: unknown, keep: (name: string) => boolean): Record<string, unknown> =>
  Object.fromEntries(Object.entries(data ?? {}).filter(([name]) => keep(name)))

/** An event's data without personal data, sealed or not, and without tokens of the payment provider. */
export const publicData = (data: unknown): unknown =>
  typeof data === 'object' && data !== null ? split(data, (name) => !withheld.has(name)) : data

/** The members that `publicData` leaves out. */
export const withheldData = (data: unknown): Record<string, unknown> => split(data, (name) => withheld.has(name))
