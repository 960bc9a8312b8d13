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
import t from 'tap'
import { inNamespace, missingForNamespaces, Network, type NetworkNode } from '../../../src/lab/network.ts'
import { settled, until } from '../../harness/until.ts'
import type { Reply, Request } from './peer.ts'
import { sidecarConfig } from './sidecar-config.ts'

const ROOT = join(import.meta.dirname, '../../..')
const PEER = join(import.meta.dirname, 'peer.ts')
const FLAGS = '-p 15001 -z 15006 -u 1337 -g 1337 -i * -b * -d 15090,15021,15020 --dual-stack'.split(' ')
/** As whom the proxy runs, as Istio injects it: transparent sockets need a capability. */
const USER = {
  REDIRECT: ['setpriv', '--reuid', '1337', '--regid', '1337', '--clear-groups'],
  TPROXY: ['setpriv', '--regid', '1337', '--clear-groups'],
} as const
/** Without the variables by which tap follows child processes: as another user they could not write its files. */
const ENV = { PATH: process.env['PATH'] }

/** One driven process; requests are answered in order. */
export class Peer {
  readonly #child: ChildProcess
  readonly #waiting: ((reply: Reply) => void)[] = []

  constructor(node: NetworkNode, children: ChildProcess[]) {
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

/** A pod whose connections real iptables rules send through a proxy with Istio's listeners, and another machine. */
export interface RedirectedPod {
  readonly app: Peer
  readonly remote: Peer
  /** On a machine of its own, too: `third`. */
  readonly stranger: Peer
  readonly pod: NetworkNode
  readonly other: NetworkNode
  readonly third: NetworkNode
  readonly ipv6: boolean
  /** Everything the proxy has printed. */
  printed(): string
  /** The line of the access log that `match` finds, as soon as it is there. */
  logged(match: (line: string) => boolean): Promise<string>
}

/** Starts everything; ends the test file when this machine cannot do it. `t.before` waits for it to be ready. */
export function redirectedPod(mode: 'REDIRECT' | 'TPROXY'): RedirectedPod {
  const missing = missingForNamespaces() ?? missingCommands() ?? unreadable()
  if (missing !== undefined) {
    process.stderr.write(`\n*** SKIPPED: ${mode} through real iptables rules is not tested here: ${missing}\n\n`)
    t.plan(0, missing)
    process.exit(0)
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
  const third = network.addNode('third')
  const ipv6 = existsSync('/proc/sys/net/ipv6') && spawnSync('ip6tables', ['--version']).error === undefined
  const app = new Peer(pod, children)
  const remote = new Peer(other, children)
  const stranger = new Peer(third, children)
  let printed = ''

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
    const applied = run(pod, [join(ROOT, 'bin/pilot-agent'), 'istio-iptables', ...FLAGS, '-m', mode])
    if (applied.status !== 0) throw new Error(applied.output)
    const addresses = ipv6 ? [other.address, other.address6] : [other.address]
    const config = sidecarConfig({ folder, ipv6, other: addresses, transparent: mode === 'TPROXY' })
    writeFileSync(join(folder, 'bootstrap.json'), JSON.stringify(config))
    const envoy = [...USER[mode], join(ROOT, 'bin/envoy'), '-c', join(folder, 'bootstrap.json'), '--concurrency', '1']
    const [file, ...args] = inNamespace(pod.namespace, [...envoy, '-l', 'warning', '--file-flush-interval-msec', '20'])
    const proxy = spawn(file!, args, { stdio: ['ignore', 'ignore', 'pipe'], env: ENV })
    children.push(proxy)
    proxy.stderr!.on('data', chunk => {
      printed += chunk
    })
    await until(
      async () => {
        // By the namespace itself: an application's HTTP client would be redirected, loopback is not.
        const ready = await app.talk('127.0.0.1', 15000, 'GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
        return ready.received?.startsWith('HTTP/1.1 200') === true || proxy.exitCode !== null
      },
      () => `the proxy did not become ready:\n${printed}`,
    )
    if (proxy.exitCode !== null) throw new Error(`the proxy ended:\n${printed}`)
  })

  return {
    app,
    remote,
    stranger,
    pod,
    other,
    third,
    ipv6,
    printed: () => printed,
    async logged(match) {
      const file = join(folder, 'access.log')
      const find = (): string | undefined =>
        existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1).find(match) : undefined
      return (await settled(find, line => line !== undefined)) ?? `not logged; proxy says: ${printed}`
    },
  }
}

export const GET = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: example\r\nconnection: close\r\n\r\n`

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

function run(node: NetworkNode, argv: readonly string[]): { status: number | null; output: string } {
  const [file, ...args] = inNamespace(node.namespace, argv)
  const done = spawnSync(file!, args, { encoding: 'utf8', env: ENV })
  return { status: done.status, output: done.stdout + done.stderr }
}
