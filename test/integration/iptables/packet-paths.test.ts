import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { inNamespace, missingForNamespaces, Network, type NetworkNode } from '../../../src/lab/network.ts'
import type { Arrival, Request } from './tcp-peer.ts'

const AGENT = join(import.meta.dirname, '../../../src/cmd/pilot-agent.ts')
const PEER = join(import.meta.dirname, 'tcp-peer.ts')
const FLAGS = '-p 15001 -z 15006 -u 1337 -g 1337 -m REDIRECT -i * -b * -d 15090,15021,15020 -o 7071 --dual-stack'.split(
  ' ',
)

const missing = missingForNamespaces() ?? missingIptables()
if (missing !== undefined) {
  process.stderr.write(`\n*** SKIPPED: real iptables rules are not tested here: ${missing}\n\n`)
  t.plan(0, missing)
  process.exit(0)
}

function missingIptables(): string | undefined {
  return spawnSync('iptables', ['--version']).error === undefined ? undefined : 'iptables is not installed'
}

/** One driven process; requests are answered in order. */
class Peer {
  readonly #child: ChildProcess
  readonly #waiting: ((reply: Arrival) => void)[] = []

  constructor(node: NetworkNode, uid: number) {
    const [file, ...args] = inNamespace(node.namespace, [process.execPath, PEER, String(uid)])
    this.#child = spawn(file as string, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      this.#waiting.shift()?.(JSON.parse(line) as Arrival)
    })
  }

  ask(request: Request): Promise<Arrival> {
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      this.#child.stdin!.write(`${JSON.stringify(request)}\n`)
    })
  }

  connect(host: string, port: number, from?: string): Promise<Arrival> {
    return this.ask({ op: 'connect', host, port, ...(from === undefined ? {} : { from }) })
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}

const network = new Network('remora-test')
const pod = network.addNode('pod')
const other = network.addNode('other')
const bare = network.addNode('bare')
const proxy = new Peer(pod, 1337)
const app = new Peer(pod, 1000)
const remote = new Peer(other, 1000)
t.teardown(() => {
  for (const peer of [proxy, app, remote]) peer.close()
  network.close()
})

interface Outcome {
  readonly status: number | null
  readonly output: string
}

function istioIptables(node: NetworkNode, flags: readonly string[], wrap: readonly string[] = []): Outcome {
  const [file, ...args] = inNamespace(node.namespace, [...wrap, process.execPath, AGENT, 'istio-iptables', ...flags])
  // Without the variables by which tap follows child processes: as another user they could not write its files.
  const done = spawnSync(file as string, args, { encoding: 'utf8', env: { PATH: process.env.PATH } })
  return { status: done.status, output: done.stdout + done.stderr }
}

/** Rules in place, without counters and dates. */
function rules(node: NetworkNode): string {
  let text = ''
  for (const save of ['iptables-nft-save', 'ip6tables-nft-save', 'iptables-legacy-save', 'ip6tables-legacy-save']) {
    const [file, ...args] = inNamespace(node.namespace, [save])
    text += spawnSync(file as string, args, { encoding: 'utf8' }).stdout ?? ''
  }
  return text
    .split('\n')
    .filter(line => /^-A|ISTIO/.test(line))
    .map(line => line.replace(/\[\d+:\d+\]/, ''))
    .join('\n')
}

t.before(async () => {
  await proxy.ask({ op: 'listen', ports: [15001, 15006] })
  await app.ask({ op: 'listen', ports: [8080, 15020] })
  await remote.ask({ op: 'listen', ports: [9090, 7071] })
  const applied = istioIptables(pod, FLAGS)
  if (applied.status !== 0) throw new Error(applied.output)
})

const families = [
  {
    name: 'IPv4',
    pod: pod.address,
    other: other.address,
    loopback: '127.0.0.1',
    inboundSource: '127.0.0.6',
    show: (a: string) => a,
  },
  {
    name: 'IPv6',
    pod: pod.address6,
    other: other.address6,
    loopback: '::1',
    inboundSource: '::6',
    show: (a: string) => `[${new URL(`http://[${a}]`).hostname.slice(1, -1)}]`,
  },
]

for (const family of families) {
  t.test(`${family.name}: where packets go`, async t => {
    const at = (address: string, port: number): string => `${family.show(address)}:${port}`
    t.match(
      await remote.connect(family.pod, 8080),
      { port: 15006, original: at(family.pod, 8080) },
      'inbound goes to 15006 and SO_ORIGINAL_DST tells the port that was meant',
    )
    t.match(await remote.connect(family.pod, 15020), { port: 15020 }, 'an excluded inbound port is reached directly')
    t.match(
      await app.connect(family.other, 9090),
      { port: 15001, original: at(family.other, 9090) },
      'outbound of the app goes to 15001 and SO_ORIGINAL_DST tells the address that was meant',
    )
    t.match(await proxy.connect(family.other, 9090), { port: 9090 }, 'outbound of UID 1337 is exempt')
    t.match(await app.connect(family.other, 7071), { port: 7071 }, 'an excluded outbound port is reached directly')
    t.match(await app.connect(family.loopback, 8080), { port: 8080 }, 'app to its own loopback stays direct')
    t.match(await app.connect(family.pod, 8080), { port: 8080 }, 'app to its own address stays direct')
    t.match(
      await proxy.connect(family.pod, 8080),
      { port: 15006, original: at(family.pod, 8080) },
      'proxy to its own pod (a self call by service address) enters by the inbound side',
    )
    t.match(await proxy.connect(family.loopback, 8080), { port: 8080 }, 'proxy to loopback is the last hop to the app')
    t.match(
      await proxy.connect(family.pod, 8080, family.inboundSource),
      { port: 8080 },
      `proxy bound to ${family.inboundSource} reaches the app and not itself`,
    )
  })
}

t.test('a second run with the same flags leaves one set', async t => {
  const before = rules(pod)
  const second = istioIptables(pod, FLAGS)
  t.equal(second.status, 0)
  t.match(second.output, 'Found compatible residues of old iptables rules/chains, reconciliation not needed')
  t.equal(rules(pod), before)
})

t.test('--run-validation, as the proxy user, tells whether rules are there: status 0 or 126', async t => {
  const asProxy = ['setpriv', '--reuid', '1337', '--regid', '1337', '--clear-groups']
  const flags = ['--run-validation', '--skip-rule-apply', '--probe-timeout=2s', '-p', '15001', '-z', '15006']
  // 15001 and 15006 of the pod are taken by this test's proxy on every address; free them for the validator.
  proxy.close()
  const passed = istioIptables(pod, flags, asProxy)
  t.equal(passed.status, 0, passed.output)
  t.match(passed.output, 'Validation passed, iptables rules established')
  const failed = istioIptables(bare, flags, asProxy)
  t.equal(failed.status, 126, failed.output)
  t.match(failed.output, 'iptables validation failed; workload is not ready for Istio: validation timeout')
})

t.test('other rules: refused whole without --reconcile, replaced whole with it, gone with --cleanup-only', async t => {
  const before = rules(pod)
  const changed = [...FLAGS, '-d', '15020']
  const refused = istioIptables(pod, changed)
  t.equal(refused.status, 1)
  t.match(refused.output, '--reconcile', 'says how to go on')
  t.equal(rules(pod), before, 'nothing changed')
  t.equal(istioIptables(pod, [...changed, '--reconcile']).status, 0)
  const after = rules(pod)
  t.notMatch(after, '--dport 15090')
  t.match(after, '--dport 15020')
  t.notMatch(after, 'DROP', 'guardrails are gone')
  t.equal(istioIptables(pod, [...changed, '--cleanup-only']).status, 0)
  t.equal(rules(pod), '')
})

t.test('legacy binaries can be forced, and are then found by themselves', async t => {
  if (spawnSync('iptables-legacy', ['--version']).error !== undefined) {
    t.pass('no iptables-legacy here')
    return
  }
  const forced = istioIptables(bare, [...FLAGS, '--force-iptables-binary', 'legacy'])
  t.equal(forced.status, 0, forced.output)
  const again = istioIptables(bare, FLAGS)
  t.match(again.output, 'reconciliation not needed')
  t.equal(istioIptables(bare, [...FLAGS, '--cleanup-only']).status, 0)
})

t.test('without the capability the error names it', async t => {
  const refused = istioIptables(bare, FLAGS, ['setpriv', '--reuid', '1337', '--regid', '1337', '--clear-groups'])
  t.equal(refused.status, 1)
  t.match(refused.output, 'NET_ADMIN')
})
