import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import dns, { type Packet } from 'dns-packet'
import t from 'tap'
import type { NameInfo, NameTable } from '../../../src/agent/dns/name-table.ts'
import { DnsServer, type DnsServerOptions } from '../../../src/agent/dns/server.ts'
import { configureLog } from '../../../src/agent/log.ts'
import { allocatePort } from '../../harness/ports.ts'
import { FakeNameServer, giantAnswers } from './dns-upstream.ts'

const lines: string[] = []
configureLog({ write: line => void lines.push(line) })

interface Case {
  readonly name: string
  readonly host: string
  readonly type?: 'AAAA'
  readonly answers: readonly (readonly [string, string, string])[]
  readonly rcode?: number
  readonly id?: number
  readonly protocol?: 'udp' | 'tcp'
  readonly edns?: number
  readonly giant?: number
  readonly truncated?: boolean
  readonly upstream?: boolean
}

const data = JSON.parse(readFileSync(join(import.meta.dirname, '../../fixtures/agent/dns-cases.json'), 'utf8')) as {
  readonly table: Readonly<Record<string, Partial<NameInfo> & { readonly alt_hosts?: readonly string[] }>>
  readonly search: readonly string[]
  readonly questions: readonly Case[]
}
const table: NameTable = new Map(
  Object.entries(data.table).map(([host, info]) => [
    host,
    { ips: [], registry: '', shortname: '', namespace: '', ...info, altHosts: info.alt_hosts ?? [] },
  ]),
)

const counts = { requests: 0, upstream: 0, failures: 0 }
const metrics = {
  request: () => void counts.requests++,
  upstreamRequest: () => void counts.upstream++,
  upstreamFailure: () => void counts.failures++,
  upstreamDuration: () => {},
}
let lastId = 0

interface Teardown {
  teardown: (fn: () => void) => void
}

async function server(
  t: Teardown,
  upstreams: number[],
  more: Partial<DnsServerOptions> = {},
): Promise<[DnsServer, number]> {
  // A port that UDP was given by the system may be in use for TCP.
  const port = await allocatePort()
  const made = new DnsServer({
    addresses: [{ host: '127.0.0.1', port }],
    scope: { namespace: 'ns1', domain: 'svc.cluster.local', search: data.search },
    servers: upstreams.map(port => ({ host: '127.0.0.1', port })),
    parallel: false,
    timeoutMs: 5000,
    respondBeforeSync: false,
    metrics,
    nextId: () => ++lastId,
    ...more,
  })
  t.teardown(() => made.close())
  await made.listen()
  return [made, port]
}

function query(host: string, type = 'A', edns = 0): Buffer {
  const plain = Buffer.from(dns.encode({ type: 'query', id: 4711, flags: 0x100, questions: [{ type, name: host }] }))
  if (edns === 0) return plain
  plain.writeUInt16BE(1, 10)
  return Buffer.concat([plain, Buffer.from([0, 0, 41, edns >> 8, edns & 255, 0, 0, 0, 0, 0, 0])])
}

function overUdp(port: number, bytes: Uint8Array): Promise<Buffer> {
  return new Promise(resolve => {
    const socket = createSocket('udp4')
    socket.on('message', answer => {
      socket.close()
      resolve(answer)
    })
    socket.send(bytes, port, '127.0.0.1')
  })
}

/** Sends all, resolves with the first `count` answers. */
function overTcp(port: number, messages: readonly Uint8Array[], split = false): Promise<Buffer[]> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    const answers: Buffer[] = []
    let got: Buffer = Buffer.alloc(0)
    const all = Buffer.concat(messages.flatMap(m => [Buffer.from([m.length >> 8, m.length & 255]), m]))
    if (split) for (const byte of all) socket.write(Buffer.from([byte]))
    else socket.write(all)
    // What a client does that has no more to ask.
    socket.end()
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk])
      while (got.length >= 2 && got.length >= 2 + got.readUInt16BE(0)) {
        answers.push(got.subarray(2, 2 + got.readUInt16BE(0)))
        got = got.subarray(2 + got.readUInt16BE(0))
      }
    })
    socket.on('close', () => resolve(answers))
  })
}

const seen = (packet: Packet): unknown[] =>
  (packet.answers ?? []).map(a => [a.type, `${a.name}.`, dotted(a.type, a.data)])
const dotted = (type: string, value: string): string => (type === 'CNAME' ? `${value}.` : value)

for (const parallel of [false, true]) {
  t.test(`Istio's table of questions, ${parallel ? 'upstream in parallel' : 'upstream in turn'}`, async t => {
    const upstream = new FakeNameServer()
    t.teardown(() => upstream.close())
    const [made, port] = await server(t, [await upstream.listen()], { parallel })
    made.update(table)
    for (const protocol of ['udp', 'tcp'] as const) {
      for (const c of data.questions) {
        if (c.protocol !== undefined && c.protocol !== protocol) continue
        lastId = c.id ?? 0
        const bytes = query(c.host, c.type, c.edns)
        const raw = protocol === 'udp' ? await overUdp(port, bytes) : (await overTcp(port, [bytes]))[0]!
        const answer = dns.decode(raw)
        const flags = answer.flags as number
        const what = `${protocol} ${c.name}`
        t.equal(answer.id, 4711, what)
        t.equal(flags & 0xf, c.rcode ?? 0, `${what}: rcode`)
        const expected = c.giant === undefined ? c.answers : giantAnswers(c.giant).map(a => ['A', `${a.name}.`, a.data])
        t.same(seen(answer), expected, `${what}: answers`)
        t.equal((flags & 0x200) !== 0, c.truncated === true, `${what}: TC`)
        const own = c.upstream !== true && c.rcode === undefined
        t.equal((flags & 0x400) !== 0, own, `${what}: AA only for hosts of the mesh`)
        if (own) for (const record of answer.answers ?? []) t.equal(record.ttl, 30)
      }
    }
  })
}

t.test('before the first table: SERVFAIL, or upstream where nobody else answers; ready with it', async t => {
  const upstream = new FakeNameServer()
  t.teardown(() => upstream.close())
  const servers = [await upstream.listen()]
  const [made, port] = await server(t, servers)
  t.equal(made.isReady, false)
  t.equal(made.table, null)
  t.equal((dns.decode(await overUdp(port, query('www.bing.com'))).flags as number) & 0xf, 2)
  made.update(table)
  t.equal(made.isReady, true)
  const [, early] = await server(t, servers, { respondBeforeSync: true })
  t.same(seen(dns.decode(await overUdp(early, query('www.bing.com')))), [['A', 'www.bing.com.', '1.1.1.1']])
})

t.test(
  'a server that says nothing: the next one is asked, in parallel the first answer counts, else SERVFAIL',
  async t => {
    const [good, silent] = [new FakeNameServer(), new FakeNameServer()]
    t.teardown(() => {
      good.close()
      silent.close()
    })
    silent.silent = true
    const both = [await silent.listen(), await good.listen()]
    for (const parallel of [true, false]) {
      const [made, port] = await server(t, both, { parallel, timeoutMs: parallel ? 60_000 : 500 })
      made.update(new Map())
      const answers = [await overUdp(port, query('www.bing.com')), ...(await overTcp(port, [query('www.bing.com')]))]
      for (const answer of answers) t.same(seen(dns.decode(answer)), [['A', 'www.bing.com.', '1.1.1.1']])
    }
    const failures = counts.failures
    const [made, port] = await server(t, [both[0]!], { timeoutMs: 20 })
    made.update(new Map())
    t.equal((dns.decode(await overUdp(port, query('www.bing.com'))).flags as number) & 0xf, 2)
    t.equal(counts.failures, failures + 1)
    t.ok(lines.some(line => line.includes('upstream failure: udp 127.0.0.1')))
  },
)

t.test('many questions on one TCP connection, cut at every byte, are answered in order', async t => {
  const [made, port] = await server(t, [])
  made.update(table)
  const hosts = ['www.google.com', 'productpage', 'foo.wildcard']
  const answers = await overTcp(
    port,
    hosts.map(host => query(host)),
    true,
  )
  t.same(
    answers.map(a => dns.decode(a).questions?.[0]?.name),
    hosts,
  )
})

t.test('names are matched in any case; other types of a mesh host are asked upstream', async t => {
  const upstream = new FakeNameServer()
  t.teardown(() => upstream.close())
  const [made, port] = await server(t, [await upstream.listen()])
  made.update(table)
  const answer = dns.decode(await overUdp(port, query('wWw.GOOGLE.com')))
  t.equal(answer.questions?.[0]?.name, 'wWw.GOOGLE.com', 'the question comes back as it was asked')
  t.equal(answer.answers?.[0]?.data, '1.1.1.1')
  await overUdp(port, query('www.google.com', 'MX'))
  t.equal(upstream.questions, 1)
})

t.test('hostile bytes: malformed is FORMERR, unknown opcodes NOTIMP, responses are never answered', async t => {
  const [made, port] = await server(t, [])
  made.update(table)
  const good = query('www.google.com')
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(good)
    copy[at] = value
    return copy
  }
  const rcode = async (bytes: Uint8Array): Promise<number> => (await overUdp(port, bytes))[3]! & 0xf
  t.equal(await rcode(changed(5, 2)), 1, 'two questions')
  t.equal(await rcode(changed(12, 0xc0)), 1, 'a compression pointer in the question')
  t.equal(await rcode(changed(12, 63)), 1, 'a label beyond the end')
  t.equal(await rcode(good.subarray(0, good.length - 1)), 1, 'cut short')
  t.equal(await rcode(changed(11, 1)), 1, 'an additional record that is not there')
  t.equal(await rcode(changed(2, 0x29)), 4, 'opcode STATUS')
  t.same(await overTcp(port, [changed(2, 0x81)]), [], 'a response')
  t.same(await overTcp(port, [good.subarray(0, 11)]), [], 'no header')
})

t.test('every name a host may be called by is in the table that people see', async t => {
  const [made] = await server(t, [])
  made.update(table)
  const names = [...(made.table as NameTable).keys()]
  const starting = (prefix: string): string[] => names.filter(name => name.startsWith(prefix)).sort()
  t.same(starting('www.google.com'), ['www.google.com', 'www.google.com.'])
  t.same(starting('example'), [
    'example.localhost.',
    'example.ns2.',
    'example.ns2.svc.',
    'example.ns2.svc.cluster.local',
    'example.ns2.svc.cluster.local.',
  ])
  t.same(starting('details'), ['details.ns2.svc.cluster.remote', 'details.ns2.svc.cluster.remote.'])
  t.same(starting('svc-with-alt'), [
    'svc-with-alt.',
    'svc-with-alt.ns1.',
    'svc-with-alt.ns1.svc.',
    'svc-with-alt.ns1.svc.cluster.local',
    'svc-with-alt.ns1.svc.cluster.local.',
    'svc-with-alt.ns1.svc.clusterset.local.',
  ])
  t.same(starting('*.wildcard'), ['*.wildcard', '*.wildcard.'])
})
