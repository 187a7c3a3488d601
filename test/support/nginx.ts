import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { choosePort } from '../../platform/embedded-postgres-postmaster.ts'
import { eventually } from './eventually.ts'

/** The proxy of docker-compose.yml, on a free port, in front of processes of this machine. */
export interface ReverseProxy {
  readonly url: string
  close(): Promise<void>
}

/** Where Debian puts it is not on everybody's path. */
const binary = ['nginx', '/usr/sbin/nginx'].find((name) => spawnSync(name, ['-v']).error === undefined)

/** Undefined when there is none on this machine. */
export const nginx = binary

const upstream = (name: string, urls: readonly string[]): string =>
  `upstream ${name} {\n${urls.map((url) => `  server ${new URL(url).host} max_fails=1 fail_timeout=2s;\n`).join('')}  keepalive 32;\n}\n`

/**
 * @param roles addresses of the instances: `http://127.0.0.1:3001`
 */
export const openProxy = async (
  roles: Readonly<Record<'write_side' | 'read_api' | 'sagas', readonly string[]>>,
): Promise<ReverseProxy> => {
  if (!binary) throw new Error('nginx is not installed')
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-nginx-'))
  const port = await choosePort()
  const conf = (await readFile(new URL('../../deploy/nginx.conf', import.meta.url), 'utf8'))
    .replaceAll('/tmp/', `${directory}/`)
    .replace('listen 8080', `listen 127.0.0.1:${port}`)
  await writeFile(join(directory, 'nginx.conf'), conf)
  const upstreams = Object.entries(roles).map(([name, urls]) => upstream(name, urls))
  await writeFile(join(directory, 'upstreams.conf'), upstreams.join(''))
  const child = spawn(binary, ['-c', join(directory, 'nginx.conf'), '-g', 'daemon off;'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const said: string[] = []
  child.stderr.on('data', (chunk) => said.push(String(chunk)))
  const exited = once(child, 'exit')
  const url = `http://127.0.0.1:${port}`
  await eventually(
    async () => {
      if (child.exitCode !== null) throw new Error(`nginx ended: ${said.join('')}`)
      return fetch(`${url}/metrics`).then(
        ({ status }) => status,
        () => 0,
      )
    },
    (status) => status === 404,
    { what: 'nginx' },
  )
  return {
    url,
    close: async () => {
      child.kill('SIGTERM')
      await exited
      await rm(directory, { recursive: true, force: true })
    },
  }
}
