import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const project = new URL('../..', import.meta.url).pathname

const edit = async (file: string, from: RegExp, to: string): Promise<void> => {
  const before = await readFile(file, 'utf8')
  const after = before.replace(from, to)
  if (after === before) throw new Error(`nothing in ${file} is like ${from}: the newer code cannot be made`)
  await writeFile(file, after)
}

/**
 * The compiled platform as a later deploy would have it: `order.shipped` is written as v2, which may say how the parcel
 * travels, and v1 is read through an upcaster.
 */
export const makeNewerCode = async (): Promise<{ readonly cli: string; remove(): Promise<void> }> => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-newer-'))
  await cp(join(project, 'dist'), join(directory, 'dist'), { recursive: true })
  await cp(join(project, 'package.json'), join(directory, 'package.json'))
  await symlink(join(project, 'node_modules'), join(directory, 'node_modules'))
  const schemas = join(directory, 'dist', 'schemas')
  await edit(join(schemas, 'stored-names.js'), /'order\.shipped\.v1'/, "'order.shipped.v2'")
  await edit(join(schemas, 'order.js'), /(OrderShipped: strict\(\{)/, '$1 service: Type.Optional(Type.String()),')
  await edit(
    join(schemas, 'history.js'),
    /(export const retiredSchemas = \{)/,
    `import { orderEvents } from './order.js';
const { service: _, ...shippedV1 } = orderEvents.OrderShipped.properties;
$1 'order.shipped.v1': strict(shippedV1),`,
  )
  await edit(
    join(schemas, 'history.js'),
    /(export const upcasters = \[)/,
    "$1 { from: 'order.shipped.v1', to: 'order.shipped.v2', upcast: (data) => ({ ...data, service: 'standard' }) },",
  )
  return {
    cli: join(directory, 'dist', 'platform', 'cli.js'),
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}
