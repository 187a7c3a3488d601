import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstat, mkdir, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { linkLibraries } from './embedded-postgres-binaries.ts'
import { findPostmaster, parsePostmasterFile, servesData } from './embedded-postgres-postmaster.ts'
import { permits, userIn, walkingCapability } from './embedded-postgres-user.ts'

test('postmaster.pid tells the process and the port, and nothing while it is still being written', () => {
  const text = '4711\n/data\n1795230000\n29251\n\n127.0.0.1\n  1234  5\nready   \n'
  expect(parsePostmasterFile(text)).toEqual({ pid: 4711, port: 29251 })
  expect(parsePostmasterFile('4711\n/data\n')).toBeUndefined()
  expect(parsePostmasterFile('')).toBeUndefined()
})

test('a process that merely has the number of a dead server is not taken for it', () => {
  expect(servesData(process.pid, '/somewhere/cluster/data')).toBe(false)
  expect(servesData(2 ** 22 + 1, '/somewhere/cluster/data')).toBe(false)
})

test.skipIf(process.platform !== 'linux')(
  'a process that exits tells the server to stop, and nobody who got its number',
  async () => {
    const data = await mkdtemp(join(tmpdir(), 'orderlog-data-'))
    onTestFinished(() => rm(data, { recursive: true }))
    // It answers everything, and first becomes another when it is told to.
    const program = `process.on('message', (name) => { if (name) process.title = name; process.send('here') })`
    const child = spawn(process.execPath, ['-e', program, '--', '-D', data, '-p', '29251'], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const ask = async (name: string) => {
      child.send(name)
      return (await once(child, 'message'))[0]
    }
    await ask('')
    await writeFile(join(data, 'postmaster.pid'), `${child.pid}\n${data}\n1795230000\n29251\n`)
    const server = await findPostmaster(data)
    expect(server?.pid).toBe(child.pid)
    const former = (await readFile(`/proc/${child.pid}/cmdline`)).toString()
    expect(former).toContain(data)

    await ask('another program')
    server?.askToStop()
    expect(await ask('')).toBe('here')
    await ask(former.replaceAll('\0', ' '))
    server?.askToStop()
    expect((await once(child, 'exit'))[1]).toBe('SIGINT')
  },
)

test('a mode is read as the owner, the group or the others, whichever comes first', () => {
  const folder = { uid: 0, gid: 50, mode: 0o40710 }
  expect(permits(folder, { uid: 0, gid: 0 }, 1)).toBe(true)
  expect(permits(folder, { uid: 7, gid: 50 }, 1)).toBe(true)
  expect(permits(folder, { uid: 7, gid: 7 }, 1)).toBe(false)
  expect(permits({ uid: 7, gid: 7, mode: 0o100077 }, { uid: 7, gid: 7 }, 4)).toBe(false)
})

test('a user is found by its whole name and never as root', () => {
  const passwd = 'root:x:0:0::/root:/bin/sh\npostgresql:x:9:9::/:/bin/sh\npostgres:x:101:104:PG,,,:/var:/bin/sh\n'
  expect(userIn(passwd, 'postgres')).toEqual({ name: 'postgres', uid: 101, gid: 104 })
  expect(userIn(passwd, 'nobody')).toBeUndefined()
  expect(userIn(passwd, 'root')).toBeUndefined()
})

test('the weakest capability that walks through closed folders is taken', () => {
  expect(walkingCapability('CapEff:\t000001fffeffffff\n')).toBe('+dac_read_search')
  expect(walkingCapability('CapEff:\t00000000a80425fb\n')).toBe('+dac_override')
  expect(walkingCapability('CapEff:\t0000000000000000\n')).toBeUndefined()
  expect(walkingCapability('')).toBeUndefined()
})

test('missing library links are made, present ones are left alone', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-links-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  await mkdir(join(directory, 'native', 'lib'), { recursive: true })
  await writeFile(join(directory, 'native', 'lib', 'libx.so.1.2'), 'x')
  await writeFile(join(directory, 'native', 'lib', 'libx.so'), 'present')
  const links = ['native/lib/libx.so', 'native/lib/libx.so.1'].map((target) => ({
    source: 'native/lib/libx.so.1.2',
    target,
  }))
  await writeFile(join(directory, 'native', 'pg-symlinks.json'), JSON.stringify(links))

  await linkLibraries(directory)
  await linkLibraries(directory)

  expect(await readlink(join(directory, 'native', 'lib', 'libx.so.1'))).toBe('libx.so.1.2')
  expect(await readFile(join(directory, 'native', 'lib', 'libx.so'), 'utf8')).toBe('present')
  expect((await lstat(join(directory, 'native', 'lib', 'libx.so'))).isFile()).toBe(true)
})
