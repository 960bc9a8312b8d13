import t from 'tap'
import { FlagError, parseFlags } from '../../../src/cmd/flags.ts'
import { configFromFlags, IPTABLES_FLAGS } from '../../../src/iptables/command.ts'
import { DryRunCommands, explain } from '../../../src/iptables/commands.ts'
import { DEFAULT_CONFIG, type IptablesConfig, separateFamilies, validate } from '../../../src/iptables/config.ts'
import { type Environment, fillFromEnvironment } from '../../../src/iptables/environment.ts'
import { explainNft } from '../../../src/iptables/nft-advice.ts'
import { applyNft } from '../../../src/iptables/nft-execute.ts'
import { buildNftRules } from '../../../src/iptables/nft-rules.ts'
import { nftTransaction } from '../../../src/iptables/nft-transaction.ts'
import { buildRules } from '../../../src/iptables/rules.ts'

function environment(changes: Partial<Environment> = {}): Environment {
  const address = { netmask: '', mac: '', internal: false, cidr: null }
  return {
    env: {},
    interfaces: () => ({ eth0: [{ ...address, family: 'IPv4', address: '10.0.0.2' }] }),
    readFile: path => {
      if (path === '/etc/resolv.conf') return 'search a\nnameserver 10.0.0.53\nnameserver fd00::53\n'
      return 'root:x:0:0::/:/bin/sh\nistio-proxy:x:1338:1338::/:/bin/sh\n'
    },
    ...changes,
  }
}

function bad(changes: Partial<IptablesConfig>, message: RegExp): void {
  t.throws(() => validate({ ...DEFAULT_CONFIG, ...changes }), message)
}

t.test('a value that would become another line of restore input is refused', async () => {
  bad({ inboundPortsInclude: '80 -j ACCEPT' }, /-b/)
  bad({ outboundPortsExclude: '80\n-A OUTPUT -j ACCEPT' }, /-o/)
  bad({ rerouteVirtualInterfaces: 'eth0 -j ACCEPT' }, /-k/)
  bad({ excludeInterfaces: '-j' }, /-c/)
  bad({ proxyUid: 'root' }, /-u/)
  bad({ outboundIpRangesInclude: '10.0.0.0' }, /CIDR/)
  bad({ outboundIpRangesExclude: '*' }, /-x/)
  bad({ inboundInterceptionMode: 'TPROX' }, /REDIRECT or TPROXY/)
  bad({ hostIpv4LoopbackCidr: '10.0.0.1/8' }, /loopback/)
  bad({ ownerGroupsInclude: Array.from({ length: 65 }, (_, i) => i).join(',') }, /cannot exceed 64/)
  bad({ dnsServersV4: ['a b'] }, /DNS server/)
})

t.test('IPv6 ranges are printed as RFC 5952 has them', async t => {
  t.same(separateFamilies('-i', '2001:DB8:0:0::/32,10.0.0.0/8').v6.cidrs, ['2001:db8::/32'])
})

t.test('the first global address decides on IPv6, with dual stack any does', async t => {
  const address = { netmask: '', mac: '', internal: false, cidr: null, scopeid: 0 }
  const interfaces: Environment['interfaces'] = () => ({
    lo: [{ ...address, internal: true, family: 'IPv4', address: '127.0.0.1' }],
    eth0: [
      { ...address, family: 'IPv6', address: 'fe80::1' },
      { ...address, family: 'IPv4', address: '10.0.0.2' },
      { ...address, family: 'IPv6', address: '2001:db8::2' },
    ],
  })
  t.equal(fillFromEnvironment(DEFAULT_CONFIG, environment({ interfaces })).enableIpv6, false)
  t.equal(fillFromEnvironment({ ...DEFAULT_CONFIG, dualStack: true }, environment({ interfaces })).enableIpv6, true)
  t.throws(() => fillFromEnvironment(DEFAULT_CONFIG, environment({ interfaces: () => ({}) })), /no valid local IP/)
})

t.test('uid and gid default to the user of the proxy', async t => {
  const filled = fillFromEnvironment({ ...DEFAULT_CONFIG, proxyUid: '', proxyGid: '' }, environment())
  t.equal(filled.proxyUid, '1338')
  t.equal(filled.proxyGid, '1338')
})

t.test('DNS servers come from resolv.conf, and only when they are needed', async t => {
  const filled = fillFromEnvironment({ ...DEFAULT_CONFIG, redirectDns: true }, environment())
  t.same([filled.dnsServersV4, filled.dnsServersV6], [['10.0.0.53'], ['fd00::53']])
  t.same(fillFromEnvironment(DEFAULT_CONFIG, environment()).dnsServersV4, [])
})

t.test('capture-all-dns redirects port 53 to any server', async t => {
  const { v4 } = buildRules({ ...DEFAULT_CONFIG, redirectDns: true, captureAllDns: true })
  const text = v4.map(rule => `${rule.table} ${rule.spec.join(' ')}`)
  t.ok(text.includes('nat -A ISTIO_OUTPUT_DNS -p udp --dport 53 -j REDIRECT --to-port 15053'))
  t.ok(text.includes('raw -A ISTIO_INBOUND -p udp --sport 53 -j CT --zone 1'))
})

t.test('flags: Go spellings, environment below command line, unknown ones refused', async t => {
  const parse = (argv: string[], env = {}): IptablesConfig => configFromFlags(parseFlags(IPTABLES_FLAGS, argv, env))
  t.equal(parse(['-p', '1']).proxyPort, '1')
  t.equal(parse(['-p=1']).proxyPort, '1')
  t.equal(parse(['-p1']).proxyPort, '1')
  t.equal(parse(['--envoy-port=1']).proxyPort, '1')
  t.equal(parse(['-x', '']).outboundIpRangesExclude, '')
  t.equal(parse(['-b', '*']).inboundPortsInclude, '*')
  t.equal(parse([], { ISTIO_INBOUND_PORTS: '80' }).inboundPortsInclude, '80')
  t.equal(parse(['-b', '81'], { ISTIO_INBOUND_PORTS: '80' }).inboundPortsInclude, '81')
  t.equal(parse([], { ISTIO_META_DNS_CAPTURE: 'true' }).redirectDns, true)
  t.match(parse(['--native-nftables', '--cni-mode', '--network-namespace', '/x']), {
    nativeNftables: true,
    cniMode: true,
    networkNamespace: '/x',
  })
  t.throws(() => parse(['--no-such-flag']), FlagError)
  t.throws(() => parse(['--istio-inbound-port', '80']), /did you mean --istio-inbound-ports/)
  t.throws(() => parse(['-p']), /needs an argument/)
  t.throws(() => parse(['--dry-run=maybe']), /expected true or false/)
})

t.test('every failure of iptables that has a known cause says what to do', async t => {
  for (const [stderr, advice] of [
    [
      "iptables v1.8.9 (legacy): can't initialize iptables table `nat': Permission denied (you must be root)",
      /NET_ADMIN/,
    ],
    ["can't initialize ip6tables table `nat': Table does not exist (do you need to insmod?)", /modprobe ip6table_nat/],
    ["Couldn't load match `owner':No such file or directory", /modprobe xt_owner/],
    ['Warning: Extension REDIRECT revision 0 not supported, missing kernel module?', /modprobe xt_REDIRECT/],
    ['iptables-nft-restore: line 2 failed: Chain already exists', /--reconcile/],
    ['Another app is currently holding the xtables lock', /try again/],
    ['iptables: not found in PATH', /install the iptables package/],
  ] as const) {
    t.match(explain(stderr.includes('ip6') ? 'ip6tables' : 'iptables', stderr), advice)
  }
})

t.test('every failure of nft that has a known cause says what to do', async t => {
  const input = 'add table inet istio-proxy-nat\nadd rule inet istio-proxy-nat istio-redirect counter redirect to :1\n'
  for (const [stderr, advice] of [
    ['nft: not found in PATH', /install the nftables package/],
    ['Error: Could not process rule: Operation not permitted', /NET_ADMIN/],
    ['Unable to initialize Netlink socket: Protocol not supported', /modprobe nf_tables/],
    ['/dev/stdin:2:1-20: Error: Could not process rule: No such file or directory', /modprobe nft_redir/],
    ['/dev/stdin:1:1-20: Error: Could not process rule: Operation not supported', /modprobe nf_tables_inet/],
    ['/dev/stdin:2:1-20: Error: group does not exist', /use its GID/],
  ] as const) {
    t.match(explainNft(stderr, input), advice)
  }
})

t.test('names that mean something else to nft are quoted or refused', async t => {
  const text = (changes: Partial<IptablesConfig>): string =>
    nftTransaction(buildNftRules({ ...DEFAULT_CONFIG, ...changes }))
  t.match(text({ excludeInterfaces: 'counter,eth+,cni-0' }), 'iifname "counter" counter')
  t.match(text({ excludeInterfaces: 'eth+' }), 'iifname "eth*" counter', 'a plus sign is a wildcard for iptables')
  t.match(text({ excludeInterfaces: 'a;b' }), 'iifname "a;b" counter', 'quoted, so that it ends no statement')
  t.throws(() => text({ excludeInterfaces: 'a"b' }), /nft's language/)
  t.throws(() => text({ ownerGroupsExclude: '@set' }), /use its GID/)
  t.match(text({ outboundPortsExclude: '80:90' }), 'tcp dport 80-90 counter', 'ranges are written as for iptables')
})

t.test('nft: a chain that is jumped to exists also when nothing is in it', async t => {
  const config = { ...DEFAULT_CONFIG, redirectDns: true, dnsServersV6: ['fd00::53'] }
  t.match(nftTransaction(buildNftRules(config)), 'add chain inet istio-proxy-nat istio-output-dns\n')
})

t.test('nft: tables that the new configuration does not have are deleted in the same transaction', async t => {
  const commands = new DryRunCommands()
  const inputs: string[] = []
  applyNft(DEFAULT_CONFIG, {
    detect: ipv6 => commands.detect(ipv6),
    run: (tool, binaries, args, stdin) => commands.run(tool, binaries, args, stdin),
    nft: (args, stdin) => {
      if (stdin !== undefined) inputs.push(stdin)
      const tables = 'table inet istio-proxy-nat\ntable inet istio-proxy-mangle\ntable inet foreign\n'
      return { ok: true, stdout: args[1] === 'tables' ? tables : '', stderr: '' }
    },
  })
  t.equal(inputs.length, 1)
  t.match(inputs[0], /add table inet istio-proxy-mangle\ndelete table inet istio-proxy-mangle\n$/)
  t.notMatch(inputs[0], 'foreign')
})

t.test('an unknown flag is skipped with its value where the command takes any', async t => {
  const specs = [
    { name: 'a', short: 'a', kind: 'string', default: '', usage: '' },
    { name: 'b', short: 'b', kind: 'bool', default: 'false', usage: '' },
  ] as const
  const parse = (...argv: string[]): unknown => {
    const flags = parseFlags(specs, argv, {}, true)
    return [flags.string('a'), flags.bool('b'), flags.operands, flags.unknown]
  }
  t.same(parse('sidecar', '--x', 'y', '--a', '1'), ['1', false, ['sidecar'], ['--x']])
  t.same(parse('--x=y', 'sidecar', '-b'), ['', true, ['sidecar'], ['--x=y']])
  t.same(parse('--x', '--a=1', 'sidecar'), ['1', false, ['sidecar'], ['--x']])
  t.same(parse('-x', 'y', '-a', '1'), ['1', false, [], ['-x']])
  t.same(parse('-x=y', 'z', '--u'), ['', false, ['z'], ['-x=y', '--u']])
})

t.test('dry run runs nothing', async t => {
  const commands = new DryRunCommands()
  t.same(commands.run('save', commands.detect(false), []), { ok: true, stdout: '', stderr: '' })
})
