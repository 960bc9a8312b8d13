import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { REMORA, startCompare } from './compare-command.ts'

t.setTimeout(120_000)

const folder = mkdtempSync(join(tmpdir(), 'remora-interrupted-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const address = '{"socket_address": {"address": "127.0.0.1", "port_value": 80}}'
const listener = `{"name": "l", "address": ${address}, "filter_chains": [{"filters": []}]}`
writeFileSync(join(folder, 'envoy.json'), `{"static_resources": {"listeners": [${listener}]}}`)
writeFileSync(join(folder, 'urls'), 'http://a.test/\n')

/** Writes down its process id, and then does as `rest` says. */
function program(name: string, rest: string): { readonly path: string; readonly pids: () => number[] } {
  const [path, list] = [join(folder, name), join(folder, `${name}.pids`)]
  writeFileSync(path, `#!/bin/sh\n[ "$1" = --version ] && exec ${REMORA} --version\necho $$ >>${list}\n${rest}\n`)
  chmodSync(path, 0o755)
  const pids = (): number[] =>
    existsSync(list) ? readFileSync(list, 'utf8').split('\n').filter(Boolean).map(Number) : []
  return { path, pids }
}

async function until(what: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end && !what(); ) await sleep(20)
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const HANGS = `exec ${process.execPath} -e 'setInterval(() => {}, 1e6)'`
for (const [starting, signal] of [
  ['envoy', 'SIGTERM'],
  ['remora', 'SIGINT'],
] as const)
  t.test(`${signal} while ${starting} starts ends every proxy, with status 130`, async t => {
    const temporary = t.testdir()
    const hangs = program(`hanging-${starting}`, HANGS)
    const works = program(`beside-${starting}`, `exec ${REMORA} "$@"`)
    const sides = starting === 'envoy' ? [hangs, works] : [works, hangs]
    const argv = ['--config', 'envoy.json', '--trace', 'urls', '--envoy', sides[0]!.path, '--remora', sides[1]!.path]
    process.env['TMPDIR'] = temporary
    const { child, outcome } = startCompare(folder, 29300, argv)
    t.teardown(() => {
      child.kill('SIGKILL')
      for (const pid of [...hangs.pids(), ...works.pids()]) if (lives(pid)) process.kill(pid, 'SIGKILL')
    })
    await until(() => hangs.pids().length > 0 || child.exitCode !== null)
    t.equal(hangs.pids().length, 1, 'it starts')
    child.kill(signal)
    const { status, errors } = await outcome
    t.equal(status, 130, errors)
    t.notMatch(errors, 'Error', 'that a proxy died by it is no news')
    t.same(hangs.pids().filter(lives), [])
    t.equal(works.pids().length, starting === 'envoy' ? 0 : 1)
    t.same(works.pids().filter(lives), [])
    t.same(
      readdirSync(temporary).filter(name => name.startsWith('remora-compare-')),
      [],
      'nor is a folder left',
    )
  })
