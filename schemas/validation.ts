import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import addFormatsModule from 'ajv-formats'
import type { Static, TSchema } from 'typebox'

const currencies = new Set(Intl.supportedValuesOf('currency'))
// Control characters other than tab, line feed and carriage return. U+0000 in particular fits in no store.
const controlCharacter = /[^\P{Cc}\t\n\r]/u
/** Days that every month has; of the others, the 31st of February would be read as some day in March. */
const isEverywhere = (day: string): boolean => day >= '01' && day <= '28'
const isTimestamp = (value: string): boolean =>
  timestamp.test(value) && (isEverywhere(value.slice(8, 10)) || new Date(value).toJSON() === value)
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
// PostgreSQL knows no year 0.
const timestamp = /^(?!0000)\d{4}-(0[1-9]|1[0-2])-([0-2]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/

const asOf = /^(0|[1-9][0-9]{0,17}|position:(0|[1-9][0-9]{0,18}))$/

const createAjv = (options: { allErrors: boolean; coerceTypes: boolean }) => {
  const ajv = new Ajv({ ...options, strict: true, strictTypes: false, useDefaults: true, verbose: true })
  addFormatsModule.default(ajv, ['email', 'date'])
  // One spelling per id: the stock format also takes capitals and `urn:uuid:`.
  ajv.addFormat('uuid', uuid)
  ajv.addFormat('text', (value: string) => value.isWellFormed() && !controlCharacter.test(value))
  ajv.addFormat('currency', (value: string) => currencies.has(value))
  ajv.addFormat('timestamp', isTimestamp)
  ajv.addFormat('as-of', (value: string) => asOf.test(value) || isTimestamp(value))
  return ajv
}

const strictAjv = createAjv({ allErrors: false, coerceTypes: false })
const queryAjv = createAjv({ allErrors: false, coerceTypes: true })

/** What is wrong with a value, for people (`message`) and for programs (`path` is a JSON pointer). */
export interface ValidationProblem {
  readonly path: string
  readonly message: string
}

export type Validation<T> =
  | { readonly valid: true; readonly value: T }
  | { readonly valid: false; readonly problems: readonly ValidationProblem[] }

const formatSentences: Record<string, string> = {
  uuid: 'must be a uuid in lower case',
  email: 'must be an e-mail address',
  text: 'must be well-formed text without control characters',
  currency: 'must be an ISO 4217 currency code such as "EUR"',
  timestamp: 'must be a UTC time such as "2026-01-31T09:30:00.000Z"',
  'as-of':
    'must be a revision such as "7", a position in the log such as "position:1234", or a UTC time such as "2026-01-31T09:30:00.000Z"',
}

const sentence = (error: ErrorObject): string => {
  switch (error.keyword) {
    case 'additionalProperties':
      return `has an unknown member "${error.params.additionalProperty}"`
    case 'required':
      return `lacks the member "${error.params.missingProperty}"`
    case 'format':
      return formatSentences[error.params.format] ?? `must match the format ${error.params.format}`
    case 'const':
      return `must be ${JSON.stringify(error.params.allowedValue)}`
    default:
      return error.message ?? 'is not valid'
  }
}

/** What a choice of constants may be; undefined for any other choice. */
const choices = ({ keyword, schema }: ErrorObject): string | undefined =>
  keyword === 'anyOf' && Array.isArray(schema) && schema.every((branch) => 'const' in branch)
    ? schema.map((branch) => JSON.stringify(branch.const)).join(', ')
    : undefined

const problemsOf = (validate: ValidateFunction): ValidationProblem[] => {
  const failures = validate.errors ?? []
  for (const failure of failures) {
    const names = choices(failure)
    if (names !== undefined) return [{ path: failure.instancePath, message: `must be one of ${names}` }]
  }
  return failures.map((error) => ({ path: error.instancePath, message: sentence(error) }))
}

const compiled = (ajv: Ajv) => {
  const cache = new WeakMap<TSchema, ValidateFunction>()
  return (schema: TSchema): ValidateFunction => {
    const known = cache.get(schema)
    if (known) return known
    const validate = ajv.compile(schema)
    cache.set(schema, validate)
    return validate
  }
}

const strictly = compiled(strictAjv)
const leniently = compiled(queryAjv)

const checked = <Schema extends TSchema>(validate: ValidateFunction, value: unknown): Validation<Static<Schema>> =>
  validate(value) ? { valid: true, value: value as Static<Schema> } : { valid: false, problems: problemsOf(validate) }

/** Checks a JSON value against a schema. Nothing is coerced: `"2"` is not a number. */
export const validate = <Schema extends TSchema>(schema: Schema, value: unknown): Validation<Static<Schema>> =>
  checked(strictly(schema), value)

/** Ajv turns "1e999" into infinity after it has checked for it. Every number that we ask for is a whole one. */
const unspeakable = (value: unknown): ValidationProblem | undefined => {
  const [member] =
    Object.entries(value ?? {}).find(([, each]) => typeof each === 'number' && !Number.isSafeInteger(each)) ?? []
  return member === undefined ? undefined : { path: `/${member}`, message: 'must be a whole number below 2^53' }
}

/** Checks a query string's members, where everything arrives as text: numbers and booleans are coerced in place. */
export const validateQuery = <Schema extends TSchema>(schema: Schema, value: unknown): Validation<Static<Schema>> => {
  const validation = checked<Schema>(leniently(schema), value)
  const problem = validation.valid ? unspeakable(validation.value) : undefined
  return problem ? { valid: false, problems: [problem] } : validation
}
