/** The builder goldens of Istio: order of chains and rules, inserts, several tables and families; check and cleanup. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { NftRule } from '../../../src/iptables/nft-rules.ts'
import { ruleCommands } from '../../../src/iptables/nft-transaction.ts'
import {
  checkCommands,
  cleanupCommands,
  leftoverCommands,
  readState,
  restoreText,
  statements,
} from '../../../src/iptables/restore.ts'
import type { Rule } from '../../../src/iptables/rules.ts'

const fixtures = join(import.meta.dirname, '../../fixtures')

function golden(name: string): string {
  return readFileSync(join(fixtures, `${name}.golden`), 'utf8')
}

/** `table: -A chain …` */
function rule(text: string): Rule {
  const [table, spec] = text.split(': ', 2) as [string, string]
  return { table, chain: spec.split(' ')[1] as string, spec: spec.split(' ') }
}

const IPTABLES: Readonly<Record<string, readonly string[]>> = {
  'insert-single': ['table: -I chain 2 -f foo -b bar'],
  'append-single': ['table: -A chain -f foo -b bar'],
  'append-multi': ['table: -A chain -f foo -b bar', 'table: -A chain -f fu -b bar', 'table: -A chain -f foo -b baz'],
  'insert-multi': [
    'table: -I chain 1 -f foo -b bar',
    'table: -I chain 2 -f foo -b baaz',
    'table: -I chain 3 -f foo -b baz',
  ],
  'append-insert-multi': [
    'table: -A chain -f foo -b bar',
    'table: -I chain 2 -f foo -b bar',
    'table: -A chain -f foo -b baz',
  ],
  'multi-rules-new-chain-v4': [
    'table: -A chain -f foo -b bar',
    'table: -I chain 2 -f foo -b bar',
    'table: -A chain -f foo -b baz',
    'nat: -A PREROUTING -f foo -b bar',
  ],
  'multi-rules-new-chain-v6': [
    'table: -A chain -f foo -b bar',
    'table: -I chain 2 -f foo -b bar',
    'table: -I chain 1 -f foo -b bar',
  ],
}

for (const [name, texts] of Object.entries(IPTABLES)) {
  t.test(`iptables ${name}: chains before rules, restore input by table`, async t => {
    const rules = texts.map(rule)
    const commands = statements(rules).map(({ table, text }) => `-t ${table} ${text}\n`)
    t.equal(commands.join(''), golden(`iptables/builder/${name}`))
    t.equal(restoreText(rules), golden(`iptables/builder/${name}-restore`))
  })
}

t.test('a rule is checked without its position', async t => {
  const rules = ['table: -I chain 2 -f foo', 'table2: -A chain2 -f foo -b baz', 'table: -A chain2 -f foo -j chain']
  t.same(
    checkCommands(rules.map(rule)).map(args => args.join(' ')),
    ['-t table -C chain -f foo', '-t table2 -C chain2 -f foo -b baz', '-t table -C chain2 -f foo -j chain'],
  )
})

t.test('cleanup goes backwards; rules inside ISTIO_ chains go with the chain', async t => {
  const clean = (...texts: string[]): string[] => cleanupCommands(texts.map(rule)).map(args => args.join(' '))
  t.same(
    clean(
      'table: -I chain 2 -f foo -b bar',
      'table: -A chain2 -f foo -b bar -j chain1',
      'table: -I chain2 1 -f foo -b baz',
      'table2: -A chain -f foo -b bar',
    ),
    [
      '-t table2 -D chain -f foo -b bar',
      '-t table -D chain2 -f foo -b baz',
      '-t table -D chain2 -f foo -b bar -j chain1',
      '-t table -D chain -f foo -b bar',
      '-t table2 -F chain',
      '-t table2 -X chain',
      '-t table -F chain2',
      '-t table -X chain2',
      '-t table -F chain',
      '-t table -X chain',
    ],
  )
  t.same(
    clean(
      'table: -A ISTIO_TEST -f foo -b bar',
      'table: -I chain 1 -f foo -b bar -j ISTIO_TEST',
      'table: -A chain -f foo -b bar',
    ),
    [
      '-t table -D chain -f foo -b bar',
      '-t table -D chain -f foo -b bar -j ISTIO_TEST',
      '-t table -F chain',
      '-t table -X chain',
      '-t table -F ISTIO_TEST',
      '-t table -X ISTIO_TEST',
    ],
  )
})

t.test('what a run with other flags left is found in the saved rules: jumps first, then chains', async t => {
  const saved = `*mangle
:PREROUTING ACCEPT [0:0]
:ISTIO_DIVERT - [0:0]
:ISTIO_INBOUND - [0:0]
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A PREROUTING -m comment --comment "not ours -j ISTIO_X" -j ACCEPT
-A ISTIO_INBOUND -p tcp -j ISTIO_DIVERT
COMMIT
*nat
:KUBE_SERVICES - [0:0]
-A OUTPUT -j KUBE_SERVICES
COMMIT
`
  t.same(
    leftoverCommands(saved).map(args => args.join(' ')),
    [
      '-t mangle -D PREROUTING -p tcp -j ISTIO_INBOUND',
      '-t mangle -F ISTIO_DIVERT',
      '-t mangle -F ISTIO_INBOUND',
      '-t mangle -X ISTIO_DIVERT',
      '-t mangle -X ISTIO_INBOUND',
    ],
  )
})

t.test('the state behind a restore input counts rules per chain and ignores foreign tables', async t => {
  const rules = [
    'nat: -I chain 2 -f foo -b bar',
    'filter: -A chain2 -f foo -b baz',
    'filter: -A chain2 -f foo',
    'does-not-exist: -A chain2 -f foo',
    'nat: -A POSTROUTING -f foo -j ISTIO_TEST',
  ]
  const state = readState(restoreText(rules.map(rule)))
  const plain = Object.fromEntries([...state].map(([table, chains]) => [table, Object.fromEntries(chains)]))
  t.match(plain, { filter: { chain2: 2 }, mangle: {}, raw: {} })
  t.same(plain.nat, { ISTIO_TEST: 0, POSTROUTING: 1, chain: 1 })
  t.notOk('does-not-exist' in plain)
})

const HEAD = 'add table inet inet-table\nadd chain inet inet-table test-chain\n'

/** What the chain holds after the commands, as nft would list it. */
function chainAfter(rules: readonly (readonly [text: string, index?: number])[]): string {
  const commands = ruleCommands(
    rules.map(([text, index]) => ({ table: 'inet-table', chain: 'test-chain', text, index }) as unknown as NftRule),
  )
  const chain: string[] = []
  for (const command of commands) {
    const [, verb, index, text] = /^(add|insert) rule inet inet-table test-chain (?:index (\d+) )?(.*)$/.exec(
      command,
    ) as unknown as [string, string, string, string]
    if (verb === 'add') chain.push(text)
    else chain.splice(Number(index), 0, text)
  }
  return HEAD + chain.map(text => `add rule inet inet-table test-chain ${text}\n`).join('')
}

const TUNNEL = 'tcp dport 15008 return'
const JUMP = 'meta l4proto tcp jump test-chain'
const REDIRECT = 'meta l4proto tcp redirect to :15001'
const V4 = 'ip daddr 127.0.0.1 return'
const V6 = 'ip6 daddr ::ffff:7f00:1 return'

const NFTABLES: Readonly<Record<string, readonly (readonly [text: string, index?: number])[]>> = {
  'add-table-chain': [],
  'append-single-v4': [[V4]],
  'append-single-v6': [[V6]],
  'append-multi': [[TUNNEL], [JUMP], [REDIRECT]],
  'insert-single-v4': [[TUNNEL], [V4, 0]],
  'insert-single-v6': [[TUNNEL], [V6, 0]],
  'insert-multi': [[TUNNEL], [JUMP, 0], [REDIRECT, 1]],
  'append-insert-multi': [[TUNNEL], [JUMP, 0], [REDIRECT]],
  'multi-rules-v4-v6': [[V4], [TUNNEL, 0], [V6]],
}

for (const [name, rules] of Object.entries(NFTABLES)) {
  t.test(`nftables ${name}: order in the chain`, async t => {
    t.equal(chainAfter(rules).trimEnd(), golden(`nftables/builder/${name}`).trimEnd())
  })
}

t.test('nftables: an insert into an empty chain or past its end is an append', async t => {
  const rules = [{ table: 'istio-proxy-nat', chain: 'a', text: 'x', index: 0 } as const]
  t.same(ruleCommands([...rules, { ...rules[0]!, text: 'y', index: 3 }]), [
    'add rule inet istio-proxy-nat a x',
    'add rule inet istio-proxy-nat a y',
  ])
})
