import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { inNamespace, missingForNamespaces, Network, type NetworkNode } from '../../../src/lab/network.ts'
import type { Reply, Request } from './peer.ts'
import { sidecarConfig } from './sidecar-config.ts'

const ROOT = join(import.meta.dirname, '../../..')
const PEER = join(import.meta.dirname, 'peer.ts')
const PROXY_USER = ['setpriv', '--reuid', '1337', '--regid', '1337', '--clear-groups']
const FLAGS = '-p 15001 -z 15006 -u 1337 -g 1337 -m REDIRECT -i * -b * -d 15090,15021,15020 --dual-stack'.split(' ')
/** Without the variables by which tap follows child processes: as another user they could not write its files. */
const ENV = { PATH: process.env['PATH'] }

const missing = missingForNamespaces() ?? missingCommands() ?? unreadable()
if (missing !== undefined) {
  process.stderr.write(`\n*** SKIPPED: the redirect through real iptables rules is not tested here: ${missing}\n\n`)
  t.plan(0, missing)
  process.exit(0)
}

function missingCommands(): string | undefined {
  for (const command of ['iptables', 'setpriv']) {
    if (spawnSync(command, ['--version']).error !== undefined) return `${command} is not installed`
  }
  return undefined
}

/** The proxy runs as another user, who must get at its program. */
function unreadable(): string | undefined {
  for (let folder = ROOT; folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return `${folder} is closed to other users`
  }
  accessSync(join(ROOT, 'bin/envoy'), constants.X_OK)
  return undefined
}

const children: ChildProcess[] = []
const folder = mkdtempSync(join(tmpdir(), 'remora-redirect-'))
chmodSync(folder, 0o777)
const network = new Network('remora-redir')
const cleanUp = (): void => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  network.close()
  rmSync(folder, { recursive: true, force: true })
}
t.teardown(cleanUp)
// tap ends a test that takes too long by a signal: namespaces must not outlive it.
process.once('exit', cleanUp)
for (const signal of ['SIGTERM', 'SIGINT', 'SIGALRM'] as const) process.once(signal, () => process.exit(1))

const pod = network.addNode('pod')
const other = network.addNode('other')
const ipv6 = existsSync('/proc/sys/net/ipv6') && spawnSync('ip6tables', ['--version']).error === undefined

/** One driven process; requests are answered in order. */
class Peer {
  readonly #child: ChildProcess
  readonly #waiting: ((reply: Reply) => void)[] = []

  constructor(node: NetworkNode) {
    const [file, ...args] = inNamespace(node.namespace, [process.execPath, PEER, '1000'])
    this.#child = spawn(file!, args, { stdio: ['pipe', 'pipe', 'inherit'], env: ENV })
    children.push(this.#child)
    createInterface({ input: this.#child.stdout! }).on('line', line =>
      this.#waiting.shift()?.(JSON.parse(line) as Reply),
    )
  }

  ask(request: Request): Promise<Reply> {
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      this.#child.stdin!.write(`${JSON.stringify(request)}\n`)
    })
  }

  talk(host: string, port: number, say: string, greeted = false): Promise<Reply> {
    return this.ask({ op: 'talk', host, port, say, greeted })
  }
}

const app = new Peer(pod)
const remote = new Peer(other)
let printed = ''

function run(node: NetworkNode, argv: readonly string[]): { status: number | null; output: string } {
  const [file, ...args] = inNamespace(node.namespace, argv)
  const done = spawnSync(file!, args, { encoding: 'utf8', env: ENV })
  return { status: done.status, output: done.stdout + done.stderr }
}

t.before(async () => {
  for (const [peer, name] of [
    [app, 'app'],
    [remote, 'remote'],
  ] as const) {
    await peer.ask({ op: 'serve', kind: 'database', name, port: 3306 })
    await peer.ask({ op: 'serve', kind: 'database', name, port: 3307 })
    await peer.ask({ op: 'serve', kind: 'http', name, port: name === 'app' ? 8080 : 9080 })
    await peer.ask({ op: 'serve', kind: 'echo', name, port: 7777 })
  }
  const applied = run(pod, [join(ROOT, 'bin/pilot-agent'), 'istio-iptables', ...FLAGS])
  if (applied.status !== 0) throw new Error(applied.output)
  const config = sidecarConfig({ folder, ipv6, other: ipv6 ? [other.address, other.address6] : [other.address] })
  writeFileSync(join(folder, 'bootstrap.json'), JSON.stringify(config))
  const envoy = [...PROXY_USER, join(ROOT, 'bin/envoy'), '-c', join(folder, 'bootstrap.json'), '--concurrency', '1']
  const [file, ...args] = inNamespace(pod.namespace, [...envoy, '-l', 'warning', '--file-flush-interval-msec', '20'])
  const proxy = spawn(file!, args, { stdio: ['ignore', 'ignore', 'pipe'], env: ENV })
  children.push(proxy)
  proxy.stderr!.on('data', chunk => {
    printed += chunk
  })
  for (let tries = 0; tries < 200 && proxy.exitCode === null; tries++) {
    // By the namespace itself: an application's HTTP client would be redirected, loopback is not.
    const ready = await app.talk('127.0.0.1', 15000, 'GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    if (ready.received?.startsWith('HTTP/1.1 200')) return
    await sleep(50)
  }
  throw new Error(`the proxy did not become ready:\n${printed}`)
})

/** The line of the access log that `match` finds, as soon as it is there. */
async function logged(match: (line: string) => boolean): Promise<string> {
  for (let tries = 0; tries < 200; tries++) {
    const lines = existsSync(join(folder, 'access.log'))
      ? readFileSync(join(folder, 'access.log'), 'utf8').split('\n')
      : []
    const found = lines.find(match)
    if (found !== undefined) return found
    await sleep(25)
  }
  return `not logged; proxy says: ${printed}`
}

const GET = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: example\r\nconnection: close\r\n\r\n`
const families = [
  { name: 'IPv4', pod: pod.address, other: other.address, inboundSource: '127.0.0.6', show: (ip: string) => ip },
  {
    name: 'IPv6',
    pod: pod.address6,
    other: other.address6,
    inboundSource: '::6',
    show: (ip: string) => new URL(`http://[${ip}]`).hostname,
  },
]

for (const family of families.slice(0, ipv6 ? 2 : 1)) {
  const at = (ip: string, port: number): string => `${family.show(ip)}:${port}`
  const line = (start: string, ip: string, port: number) =>
    logged(text => text.startsWith(start) && text.includes(` local=${at(ip, port)} `))

  t.test(`${family.name}: an application that asks its database first thing`, async t => {
    const { received, error } = await app.talk(family.other, 3306, 'SELECT 1', true)
    t.equal(error, undefined)
    t.match(received, /^greetings of remote\nresult of SELECT 1 for /)
    const log = await line('outbound outbound|3306 ', family.other, 3306)
    t.match(log, 'flags=-', 'the destination that was meant is the local address: SO_ORIGINAL_DST')
  })

  t.test(`${family.name}: HTTP out, by the listener of the port`, async t => {
    const { received } = await app.talk(family.other, 9080, GET(`/out-${family.name}`))
    t.match(received, `remote answers /out-${family.name} to `)
    t.match(received, 'server: envoy')
    t.match(await line('outbound outbound|9080 ', family.other, 9080), `path=/out-${family.name}`)
  })

  t.test(`${family.name}: an unknown destination, through PassthroughCluster`, async t => {
    const { received } = await app.talk(family.other, 7777, 'hello\n')
    t.match(received, 'remote heard hello from ')
    const log = await line('outbound PassthroughCluster ', family.other, 7777)
    t.match(log, `upstream=${at(family.other, 7777)} `)
    const greeted = await app.talk(family.other, 3307, 'SELECT 2', true)
    t.match(
      greeted.received,
      'greetings of remote\nresult of SELECT 2',
      'a server that speaks first needs no configuration',
    )
  })

  t.test(`${family.name}: HTTP in, by the chain of the port`, async t => {
    const { received } = await remote.talk(family.pod, 8080, GET(`/in-${family.name}`))
    t.match(received, `app answers /in-${family.name} to `)
    const log = await line('inbound inbound|8080 ', family.pod, 8080)
    t.match(log, `path=/in-${family.name}`)
    t.match(log, `upstream=${at(family.pod, 8080)} `)
  })

  t.test(
    `${family.name}: a database in the pod: at once where inspection is off, after the timeout elsewhere`,
    async t => {
      const known = await remote.talk(family.pod, 3306, 'SELECT 3', true)
      t.match(known.received, /^greetings of app\nresult of SELECT 3/)
      t.match(await line('inbound inbound|3306 ', family.pod, 3306), 'flags=-')
      const unknown = await remote.talk(family.pod, 3307, 'SELECT 4', true)
      t.match(unknown.received, /^greetings of app\nresult of SELECT 4/)
      t.match(await line('inbound InboundPassthroughCluster', family.pod, 3307), 'flags=-')
    },
  )

  t.test(
    `${family.name}: an unknown port of the pod sees ${family.inboundSource}, so that it is not redirected again`,
    async t => {
      const { received } = await remote.talk(family.pod, 7777, 'hello\n')
      t.match(received, new RegExp(`^app heard hello from (::ffff:)?${family.inboundSource.replaceAll('.', '\\.')}\n`))
      t.match(await line('inbound InboundPassthroughCluster', family.pod, 7777), `upstream=${at(family.pod, 7777)} `)
    },
  )
}

t.test('the proxy logged no error', async t => {
  t.notMatch(printed, /\[(error|critical)\]/)
})
