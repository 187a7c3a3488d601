import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { prepareBinaries } from '../../platform/embedded-postgres-binaries.ts'
import { dataDirectory, prepareCluster } from '../../platform/embedded-postgres-cluster.ts'
import { choosePort, launchPostmaster, stopPostmaster } from '../../platform/embedded-postgres-postmaster.ts'
import { chooseLauncher } from '../../platform/embedded-postgres-user.ts'
import { silentLogger } from '../../platform/logging.ts'
import { eventually } from './eventually.ts'
import { selfSigned } from './self-signed.ts'

/** A PostgreSQL that lets nobody in who does not speak TLS, with the certificate of `selfSigned`. */
export interface TlsPostgres {
  /** `postgres://user:password@127.0.0.1:port/postgres`, which says nothing of TLS. */
  readonly url: string
  /** PEM of its authority, in a file. */
  readonly caFile: string
  stop(): Promise<void>
}

/** Starts the PostgreSQL that npm brings, in a directory of its own. */
export const startTlsPostgres = async (): Promise<TlsPostgres> => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-tls-'))
  const binaries = await prepareBinaries()
  const launcher = await chooseLauncher({ dataOwner: undefined, needed: binaries.needed })
  const { user } = launcher
  if (user) await chown(directory, user.uid, user.gid)
  const { password } = await prepareCluster({ directory, binaries, launcher, logger: silentLogger })
  const data = dataDirectory(directory)
  const put = async (name: string, text: string): Promise<string> => {
    const file = join(data, name)
    await writeFile(file, text, { mode: 0o600 })
    if (user) await chown(file, user.uid, user.gid)
    return file
  }
  await put('server.key', selfSigned.key)
  await put('server.crt', selfSigned.cert)
  await put('pg_hba.conf', 'hostssl all all 127.0.0.1/32 scram-sha-256\n')
  const caFile = join(directory, 'ca.pem')
  await writeFile(caFile, selfSigned.cert)
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ssl: 'on', fsync: 'off' }
  const port = await choosePort()
  const postmaster = await launchPostmaster({
    ...{ binaries, launcher, data, port, settings },
    logFile: join(directory, 'log'),
  })
  const stop = async () => {
    await stopPostmaster(postmaster)
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }
  const url = `postgres://orderlog:${password}@127.0.0.1:${port}/postgres`
  try {
    await eventually(
      async () => {
        const ended = await postmaster.ended()
        if (ended !== undefined) return ended
        const client = new pg.Client({ connectionString: url, ssl: { rejectUnauthorized: false } })
        client.on('error', () => undefined)
        await client.connect()
        await client.end()
        return 'up'
      },
      (state) => state === 'up',
      { what: 'a PostgreSQL with TLS' },
    )
  } catch (error) {
    await stop()
    throw error
  }
  return { url, caFile, stop }
}
