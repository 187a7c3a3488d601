import { type Static, type TSchema, Type } from 'typebox'

/** An object that refuses unknown members. */
export const strict = <Properties extends Record<string, TSchema>>(properties: Properties, options: object = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options })

/** Text of a person: well-formed Unicode without control characters (no store of ours can hold U+0000). */
export const text = (minLength: number, maxLength: number) => Type.String({ minLength, maxLength, format: 'text' })

export const Uuid = Type.String({ format: 'uuid' })
export type Uuid = Static<typeof Uuid>

/** ISO 8601 in UTC with milliseconds: `2026-11-21T09:30:00.000Z`. */
export const Timestamp = Type.String({ format: 'timestamp' })
export type Timestamp = Static<typeof Timestamp>

/**
 * A place in history: decimal digits are a revision of the stream asked about, `position:` and digits a position in the
 * log, a timestamp a time.
 */
export const AsOf = Type.String({ format: 'as-of' })
export type AsOf = Static<typeof AsOf>

export const Sku = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' })
export type Sku = Static<typeof Sku>

/** The shop's own id of a customer; no personal data belongs in it. */
export const CustomerId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' })
export type CustomerId = Static<typeof CustomerId>

/** Who follows the log: a projection (`order_details`) or the saga (`order-fulfilment`). */
export const ConsumerName = Type.String({ pattern: '^[a-z][a-z0-9_-]{0,62}$' })

/** Units of one product in one order line. 100 lines of this at the highest price stay below 2^53 minor units. */
export const Quantity = Type.Integer({ minimum: 1, maximum: 10_000 })

/** Units moved in or out of stock at once. */
export const StockQuantity = Type.Integer({ minimum: 1, maximum: 1_000_000_000 })

/** ISO 4217 code, upper case. */
export const Currency = Type.String({ format: 'currency' })

/** Minor units (cents, yen) of a currency; a sum of prices, always exact. */
export const Money = strict({
  amount: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  currency: Currency,
})
export type Money = Static<typeof Money>

/** Price of one unit: 1 to 1,000,000,000 minor units. */
export const Price = strict({ amount: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }), currency: Currency })
export type Price = Static<typeof Price>

/** Personal data under a customer's key (AES-256-GCM). Without the key nobody can read it; members are base64. */
export const Sealed = strict({
  keyId: Uuid,
  iv: Type.String({ maxLength: 24 }),
  tag: Type.String({ maxLength: 32 }),
  ciphertext: Type.String({ maxLength: 16_384 }),
})
export type Sealed = Static<typeof Sealed>

export const Address = strict({
  street: text(1, 200),
  city: text(1, 100),
  postalCode: text(1, 20),
  region: Type.Optional(text(1, 100)),
  country: Type.String({ pattern: '^[A-Z]{2}$', description: 'ISO 3166-1 alpha-2' }),
})
export type Address = Static<typeof Address>

/** What is sealed in an order: who it is for and where it goes. */
export const PersonalData = strict({
  name: text(1, 200),
  email: Type.String({ format: 'email', maxLength: 254 }),
  address: Address,
})
export type PersonalData = Static<typeof PersonalData>

/** An order line as agreed at the moment of placing. */
export const OrderLine = strict({ sku: Sku, name: text(1, 200), quantity: Quantity, unitPrice: Price })
export type OrderLine = Static<typeof OrderLine>

/** A discriminated union of `{ type, data }` from a map of event schemas. */
export type EventOf<Schemas extends Record<string, TSchema>> = {
  [Name in keyof Schemas & string]: { readonly type: Name; readonly data: Static<Schemas[Name]> }
}[keyof Schemas & string]

/** A command's members beside `type` and `at`, as a flat discriminated union. */
export type CommandOf<Schemas extends Record<string, TSchema>> = {
  [Name in keyof Schemas & string]: { readonly type: Name; readonly at: Timestamp } & Static<Schemas[Name]>
}[keyof Schemas & string]
