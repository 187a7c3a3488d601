import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startProcess } from '../support/platform-process.ts'

const run = promisify(execFile)

/** Ids, times and places in the log differ from run to run; everything else must be as printed. */
const masked = (text: string) =>
  text
    .trim()
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<uuid>')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<time>')

test('the walk through one order in the README answers as printed', async () => {
  const readme = await readFile('README.md', 'utf8')
  const walk = readme.slice(readme.indexOf('## One order, by hand'), readme.indexOf('## What it guarantees'))
  const steps = [...walk.matchAll(/```sh\n(.*?)```\n```json\n(.*?)```/gs)].map(([, command = '', reply = '']) => ({
    command,
    reply,
  }))
  expect(steps.length).toBeGreaterThan(6)

  const directory = await mkdtemp(join(tmpdir(), 'orderlog-readme-'))
  const platform = await startProcess({ ORDERLOG_DATA_DIR: join(directory, 'data') })
  try {
    const separator = '--- next step ---'
    const script = steps
      .map(({ command }) => command.replaceAll('http://127.0.0.1:3000', platform.url))
      .join(`echo; echo '${separator}'\n`)
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], { cwd: directory, timeout: 150_000 })
    expect(stdout.split(separator).map(masked)).toEqual(steps.map(({ reply }) => masked(reply)))
  } finally {
    await platform.kill('SIGTERM')
    await rm(directory, { recursive: true, force: true })
  }
})

test('every route in docs/http-api.md is there', async () => {
  const page = await readFile('docs/http-api.md', 'utf8')
  const routes = [...page.matchAll(/^\| `(GET|POST|PUT|DELETE) (\/[^`]+)` \|/gm)].map(([, method = '', path = '']) => ({
    method,
    path: path.replaceAll(/:orderId/g, '00000000-0000-4000-8000-000000000000').replaceAll(/:(\w+)/g, '$1'),
  }))
  expect(routes.length).toBeGreaterThan(30)
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-routes-'))
  const platform = await startProcess({ ORDERLOG_DATA_DIR: join(directory, 'data') })
  try {
    for (const { method, path } of routes) {
      const reply = await fetch(`${platform.url}${path}`, { method })
      const body = await reply.text()
      expect(body, `${method} ${path}`).not.toMatch(/route-not-found|method-not-allowed|internal-error/)
    }
  } finally {
    await platform.kill('SIGTERM')
    await rm(directory, { recursive: true, force: true })
  }
})
