/** Rules applied for real in network namespaces, by each backend that is installed; what is asserted is the packets. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DEFAULT_CONFIG, type IptablesConfig } from '../../../src/iptables/config.ts'
import { buildNftRules } from '../../../src/iptables/nft-rules.ts'
import { nftTransaction } from '../../../src/iptables/nft-transaction.ts'
import { inNamespace, missingForNamespaces, Network, type NetworkNode } from '../../../src/lab/network.ts'
import { Peer } from './peer.ts'

const AGENT = join(import.meta.dirname, '../../../src/cmd/pilot-agent.ts')
const COMMON = '-p 15001 -z 15006 -u 1337 -g 1337 -i * -b * -d 15090,15021,15020 -o 7071 --dual-stack'.split(' ')
const FLAGS = [...COMMON, '-m', 'REDIRECT']
const DNS_FLAGS = [...FLAGS, '--redirect-dns', '--capture-all-dns']
const TPROXY_FLAGS = [...COMMON, '-m', 'TPROXY']

interface Backend {
  readonly name: string
  readonly tool: string
  readonly flags: readonly string[]
  /** What the second of two equal runs says. */
  readonly repeated: string
}

const BACKENDS: readonly Backend[] = [
  {
    name: 'iptables',
    tool: 'iptables',
    flags: [],
    repeated: 'Found compatible residues of old iptables rules/chains, reconciliation not needed',
  },
  {
    name: 'nftables',
    tool: 'nft',
    flags: ['--native-nftables'],
    repeated: 'Replacing the nftables rules that are in place',
  },
]

const missing = missingForNamespaces()
if (missing !== undefined) {
  process.stderr.write(`\n*** SKIPPED: real rules are not tested here: ${missing}\n\n`)
  t.plan(0, missing)
  process.exit(0)
}

// Some forty runs of the agent, each starting dozens of iptables processes: ten seconds when nothing else runs.
t.setTimeout(240_000)

const network = new Network('remora-test')
const peers: Peer[] = []
t.teardown(async () => {
  await Promise.all(peers.map(peer => peer.close()))
  network.close()
})
const other = network.addNode('other')
// Root, for port 53.
const remote = startPeer(other, 0)

t.before(async () => {
  await remote.ask({ op: 'listen', ports: [9090, 7071, 53] })
  await remote.ask({ op: 'listen-datagram', ports: [53, 9053] })
})

for (const backend of BACKENDS) {
  if (spawnSync(backend.tool, ['--version']).error !== undefined) {
    process.stderr.write(
      `\n*** SKIPPED: ${backend.name} rules are not tested here: ${backend.tool} is not installed\n\n`,
    )
    t.test(backend.name, { skip: `${backend.tool} is not installed` }, () => {})
    continue
  }
  t.test(backend.name, t => testBackend(t, backend))
}

async function testBackend(t: Test, backend: Backend): Promise<void> {
  const pod = network.addNode(`${backend.name}-pod`)
  const bare = network.addNode(`${backend.name}-bare`)
  const proxy = startPeer(pod, 1337)
  const app = startPeer(pod, 1000)
  await proxy.ask({ op: 'listen', ports: [15001, 15006] })
  await app.ask({ op: 'listen', ports: [8080, 15020] })
  apply(pod, [...FLAGS, ...backend.flags])

  for (const family of families(pod)) {
    await t.test(`${family.name}: where packets go`, async t => {
      const { at } = family
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
      t.match(
        await proxy.connect(family.loopback, 8080),
        { port: 8080 },
        'proxy to loopback is the last hop to the app',
      )
      t.match(
        await proxy.connect(family.pod, 8080, family.inboundSource),
        { port: 8080 },
        `proxy bound to ${family.inboundSource} reaches the app and not itself`,
      )
      t.match(await app.datagram(family.other, 53), { port: 53 }, 'DNS goes to the resolver unless it is captured')
    })
  }

  await t.test('a second run with the same flags leaves one set', async t => {
    const before = rules(pod)
    const second = istioIptables(pod, [...FLAGS, ...backend.flags])
    t.equal(second.status, 0)
    t.match(second.output, backend.repeated)
    t.equal(rules(pod), before)
    t.equal(istioIptables(pod, [...FLAGS, ...backend.flags, '--dry-run']).status, 0)
    t.equal(rules(pod), before, 'a dry run changes nothing')
  })

  await t.test('DNS capture: the app asks the agent and believes that the resolver answered', async t => {
    apply(pod, [...DNS_FLAGS, ...backend.flags, '--reconcile'])
    await proxy.ask({ op: 'listen', ports: [15053] })
    await proxy.ask({ op: 'listen-datagram', ports: [15053], loopback: true })
    for (const family of families(pod)) {
      t.match(await app.datagram(family.other, 53), { port: 15053 }, `${family.name}: UDP`)
      t.match(await app.connect(family.other, 53), { port: 15053 }, `${family.name}: TCP`)
      t.match(await proxy.datagram(family.other, 53), { port: 53 }, `${family.name}: the agent's own questions go out`)
      t.match(await proxy.connect(family.other, 53), { port: 53 }, `${family.name}: over TCP too`)
      t.match(
        await app.datagram(family.other, 9053),
        { port: 9053 },
        `${family.name}: other datagrams are not captured`,
      )
    }
  })

  await t.test('TPROXY: the proxy sees the client and the address that was meant', async t => {
    const transparent = network.addNode(`${backend.name}-tproxy`)
    // As Istio injects it: uid 0 for IP_TRANSPARENT, gid 1337 for the rules.
    const tproxy = startPeer(transparent, 0, 1337)
    const app = startPeer(transparent, 1000)
    await tproxy.ask({ op: 'listen', ports: [15001] })
    t.match(await tproxy.ask({ op: 'listen', ports: [15006], transparent: true }), { listening: [15006] })
    await app.ask({ op: 'listen', ports: [8080, 15020] })
    apply(transparent, [...TPROXY_FLAGS, ...backend.flags])
    for (const family of families(transparent)) {
      const { at } = family
      t.match(
        await remote.connect(family.pod, 8080),
        { port: 15006, local: at(family.pod, 8080), client: family.other },
        `${family.name}: inbound`,
      )
      t.match(await remote.connect(family.pod, 15020), { port: 15020 }, `${family.name}: an excluded inbound port`)
      t.match(
        await app.connect(family.other, 9090),
        { port: 15001, original: at(family.other, 9090) },
        `${family.name}: outbound`,
      )
      t.match(await app.connect(family.pod, 8080), { port: 8080 }, `${family.name}: app to its own address`)
    }
    const before = rules(transparent)
    apply(transparent, [...TPROXY_FLAGS, ...backend.flags])
    t.equal(rules(transparent), before, 'a second run with the same flags leaves one set')
  })

  await t.test('--run-validation, as the proxy user, tells whether rules are there: status 0 or 126', async t => {
    const flags = (patience: string): string[] => [
      '--run-validation',
      '--skip-rule-apply',
      `--probe-timeout=${patience}`,
      '-p',
      '15001',
      '-z',
      '15006',
    ]
    // 15001 and 15006 of the pod are taken by this test's proxy on every address; free them for the validator.
    await proxy.close()
    const passed = istioIptables(pod, flags('20s'), AS_PROXY)
    t.equal(passed.status, 0, passed.output)
    t.match(passed.output, 'Validation passed, iptables rules established')
    const failed = istioIptables(bare, flags('1s'), AS_PROXY)
    t.equal(failed.status, 126, failed.output)
    t.match(failed.output, 'iptables validation failed; workload is not ready for Istio: validation timeout')
  })

  await t.test('--cleanup-only in a namespace given by its path leaves nothing', async t => {
    const flags = [
      ...DNS_FLAGS,
      ...backend.flags,
      '--cleanup-only',
      '--network-namespace',
      `/run/netns/${pod.namespace}`,
    ]
    const done = spawnSync(process.execPath, [AGENT, 'istio-iptables', ...flags], { encoding: 'utf8', env: PLAIN })
    t.equal(done.status, 0, done.stdout + done.stderr)
    t.equal(rules(pod), '')
  })

  await t.test('without the capability the error names it', async t => {
    const refused = istioIptables(bare, [...FLAGS, ...backend.flags], AS_PROXY)
    t.equal(refused.status, 1)
    t.match(refused.output, 'NET_ADMIN')
  })

  if (backend.name === 'nftables') await testNftOnly(t, bare)
  else await testIptablesOnly(t, pod, bare)
}

async function testIptablesOnly(t: Test, pod: NetworkNode, bare: NetworkNode): Promise<void> {
  await t.test('other rules: refused whole without --reconcile, replaced whole with it', async t => {
    apply(pod, FLAGS)
    const before = rules(pod)
    const changed = [...FLAGS, '-d', '15020']
    const refused = istioIptables(pod, changed)
    t.equal(refused.status, 1)
    t.match(refused.output, '--reconcile', 'says how to go on')
    t.equal(rules(pod), before, 'nothing changed')
    apply(pod, [...changed, '--reconcile'])
    const after = rules(pod)
    t.notMatch(after, '--dport 15090')
    t.match(after, '--dport 15020')
    t.notMatch(after, 'DROP', 'guardrails are gone')
    apply(pod, [...changed, '--cleanup-only'])
    t.equal(rules(pod), '')
  })

  await t.test('rules of another mode are replaced and removed whole, whatever the flags are now', async t => {
    apply(pod, TPROXY_FLAGS)
    t.match(rules(pod), 'ISTIO_TPROXY')
    apply(pod, [...FLAGS, '--reconcile'])
    t.notMatch(rules(pod), /ISTIO_(TPROXY|DIVERT)/)
    t.match(rules(pod), 'ISTIO_IN_REDIRECT')
    const [file, ...args] = inNamespace(pod.namespace, [
      process.execPath,
      AGENT,
      'istio-clean-iptables',
      '--dual-stack',
    ])
    const done = spawnSync(file as string, args, { encoding: 'utf8', env: PLAIN })
    t.equal(done.status, 0, done.stdout)
    // The rules of excluded interfaces jump nowhere; all that names a chain of ours is gone.
    t.notMatch(rules(pod), 'ISTIO')
  })

  await t.test('legacy binaries can be forced, and are then found by themselves', async t => {
    if (spawnSync('iptables-legacy', ['--version']).error !== undefined) {
      t.pass('no iptables-legacy here')
      return
    }
    apply(bare, [...FLAGS, '--force-iptables-binary', 'legacy'])
    const lock = ['--cni-mode', '--network-namespace', `/run/netns/${bare.namespace}`]
    const again = istioIptables(bare, [...FLAGS, ...lock])
    t.match(again.output, 'reconciliation not needed')
    apply(bare, [...FLAGS, ...lock, '--cleanup-only'])
    t.equal(rules(bare), '')
  })
}

async function testNftOnly(t: Test, bare: NetworkNode): Promise<void> {
  await t.test('a changed configuration replaces the set and removes tables it does not have', async t => {
    apply(bare, [...TPROXY_FLAGS, '--native-nftables', '--redirect-dns', '--capture-all-dns'])
    t.match(rules(bare), 'table inet istio-proxy-mangle')
    t.match(rules(bare), 'table inet istio-proxy-raw')
    apply(bare, [...FLAGS, '--native-nftables', '-d', '4711'])
    const after = rules(bare)
    t.match(after, 'tcp dport 4711')
    t.notMatch(after, /mangle|istio-proxy-raw|dport 15090/)
    const [file, ...args] = inNamespace(bare.namespace, [process.execPath, AGENT, 'istio-clean-iptables'])
    const done = spawnSync(file as string, [...args, '--native-nftables'], { encoding: 'utf8', env: PLAIN })
    t.equal(done.status, 0, done.stdout)
    t.equal(rules(bare), '')
  })

  await t.test('nft takes the rules of every golden configuration', async t => {
    const fixture = join(import.meta.dirname, '../../fixtures/iptables/cases.json')
    const cases = JSON.parse(readFileSync(fixture, 'utf8')) as Record<string, Partial<IptablesConfig>>
    for (const [name, changes] of Object.entries(cases)) {
      // Groups by name are those of Istio's test machine.
      const named = { ...DEFAULT_CONFIG, ...changes }
      const config = { ...named, ownerGroupsInclude: noNames(named.ownerGroupsInclude), ownerGroupsExclude: '' }
      const [file, ...args] = inNamespace(bare.namespace, ['nft', '-c', '-f', '-'])
      const done = spawnSync(file as string, args, { input: nftTransaction(buildNftRules(config)), encoding: 'utf8' })
      t.equal(done.status, 0, `${name}: ${done.stderr}`)
    }
  })
}

function noNames(groups: string): string {
  return groups.replace('java', '203')
}

/** Without the variables by which tap follows child processes: as another user they could not write its files. */
const PLAIN = { PATH: process.env.PATH }
const AS_PROXY = ['setpriv', '--reuid', '1337', '--regid', '1337', '--clear-groups']

function startPeer(node: NetworkNode, uid: number, gid = uid): Peer {
  const peer = new Peer(node, uid, gid)
  peers.push(peer)
  return peer
}

interface Outcome {
  readonly status: number | null
  readonly output: string
}

function istioIptables(node: NetworkNode, flags: readonly string[], wrap: readonly string[] = []): Outcome {
  const [file, ...args] = inNamespace(node.namespace, [...wrap, process.execPath, AGENT, 'istio-iptables', ...flags])
  const done = spawnSync(file as string, args, { encoding: 'utf8', env: PLAIN })
  return { status: done.status, output: done.stdout + done.stderr }
}

function apply(node: NetworkNode, flags: readonly string[]): void {
  const applied = istioIptables(node, flags)
  if (applied.status !== 0) throw new Error(applied.output)
}

/** Rules in place, of every kind, without counters and dates. */
function rules(node: NetworkNode): string {
  const list = (command: readonly string[]): string[] => {
    const [file, ...args] = inNamespace(node.namespace, command)
    return (spawnSync(file as string, args, { encoding: 'utf8' }).stdout ?? '').split('\n')
  }
  const lines: string[] = []
  for (const save of ['iptables-nft-save', 'ip6tables-nft-save', 'iptables-legacy-save', 'ip6tables-legacy-save']) {
    lines.push(...list([save]).filter(line => /^-A|ISTIO/.test(line)))
  }
  for (const table of ['istio-proxy-nat', 'istio-proxy-mangle', 'istio-proxy-raw']) {
    lines.push(...list(['nft', '-s', 'list', 'table', 'inet', table]))
  }
  return lines
    .filter(line => line !== '')
    .map(line => line.replace(/\[\d+:\d+\]/, ''))
    .join('\n')
}

interface Family {
  readonly name: string
  readonly pod: string
  readonly other: string
  readonly loopback: string
  readonly inboundSource: string
  readonly at: (address: string, port: number) => string
}

function families(pod: NetworkNode): Family[] {
  const canonical = (address: string): string => new URL(`http://[${address}]`).hostname.slice(1, -1)
  return [
    {
      name: 'IPv4',
      pod: pod.address,
      other: other.address,
      loopback: '127.0.0.1',
      inboundSource: '127.0.0.6',
      at: (address, port) => `${address}:${port}`,
    },
    {
      name: 'IPv6',
      pod: canonical(pod.address6),
      other: canonical(other.address6),
      loopback: '::1',
      inboundSource: '::6',
      at: (address, port) => `[${address}]:${port}`,
    },
  ]
}
