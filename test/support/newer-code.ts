import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const project = new URL('../..', import.meta.url).pathname

/** A change of a compiled file: its path in `dist`, what stands there, and what is to stand there. */
export type Patch = readonly [file: string, from: RegExp, to: string]

const edit = async ([path, from, to]: Patch, directory: string): Promise<void> => {
  const file = join(directory, path)
  const before = await readFile(file, 'utf8')
  const after = before.replace(from, to)
  if (after === before) throw new Error(`nothing in ${file} is like ${from}: the newer code cannot be made`)
  await writeFile(file, after)
}

/** The compiled platform with some changes, as another deploy would have it. */
export const makeOtherCode = async (
  patches: readonly Patch[],
): Promise<{ readonly cli: string; remove(): Promise<void> }> => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-newer-'))
  await cp(join(project, 'dist'), join(directory, 'dist'), { recursive: true })
  await cp(join(project, 'package.json'), join(directory, 'package.json'))
  await symlink(join(project, 'node_modules'), join(directory, 'node_modules'))
  for (const patch of patches) await edit(patch, join(directory, 'dist'))
  return {
    cli: join(directory, 'dist', 'platform', 'cli.js'),
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}

/** Where `order.shipped` is written as v2, which may say how the parcel travels, and v1 is read through an upcaster. */
export const makeNewerCode = () =>
  makeOtherCode([
    ['schemas/stored-names.js', /'order\.shipped\.v1'/, "'order.shipped.v2'"],
    ['schemas/order.js', /(OrderShipped: strict\(\{)/, '$1 service: Type.Optional(Type.String()),'],
    [
      'schemas/retired-schemas.js',
      /(export const retiredSchemas = \{)/,
      `import { orderEvents } from './order.js';
const { service: _, ...shippedV1 } = orderEvents.OrderShipped.properties;
$1 'order.shipped.v1': strict(shippedV1),`,
    ],
    [
      'schemas/history.js',
      /(export const upcasters = \[)/,
      "$1 { from: 'order.shipped.v1', to: 'order.shipped.v2', upcast: (data) => ({ ...data, service: 'standard' }) },",
    ],
  ])
