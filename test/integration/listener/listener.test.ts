import net from 'node:net'
import tls from 'node:tls'
import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import { ipAddress } from '../../../src/io/address.ts'
import { CloseHow } from '../../../src/io/connection.ts'
import { parseDownstreamTls } from '../../../src/io/transport-sockets/tls-config.ts'
import { proxyProtocolFactory } from '../../../src/listener/filters/proxy-protocol.ts'
import { VirtualTimers } from '../../unit/base/virtual-clock.ts'
import { fakeServices } from '../../unit/network/fake-services.ts'
import { pair } from '../tls/tls-peers.ts'
import { chain, extension, listenerFilter, TLS_INSPECTOR, talk, world } from './test-listener.ts'

const TLS = extension(
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
  parseDownstreamTls(
    { common_tls_context: { tls_certificates: [pair('server')], alpn_protocols: ['h2'] } },
    FieldPath.root(),
    [],
  ),
)

function closed(port: number, send = ''): Promise<string> {
  return talk(port, send).then(
    text => text,
    () => 'reset',
  )
}

async function settled(until: () => boolean): Promise<void> {
  while (!until()) await new Promise(setImmediate)
}

t.test('plain connection: one chain, statistics', async t => {
  const w = world()
  t.teardown(() => w.close())
  const { port, stat, listener } = await w.listener({})
  const answer = await talk(port, 'hello')
  t.match(answer, new RegExp(`^c raw_buffer {3}127\\.0\\.0\\.1:\\d+ 127\\.0\\.0\\.1:${port} false\nhello$`))
  await settled(() => stat('downstream_cx_destroy') === 1)
  t.equal(stat('downstream_cx_total'), 1)
  t.equal(stat('downstream_cx_active'), 0)
  t.equal(stat('downstream_pre_cx_active'), 0)
  t.equal(stat('worker_0.downstream_cx_total'), 1)
  t.equal(stat('downstream_cx_length_ms'), 1)
  t.equal(listener.connectionCount, 0)
})

t.test('no chain matches: closed, counted, logged as NR', async t => {
  const w = world()
  t.teardown(() => w.close())
  const log = [{}] as unknown as never[]
  const { port, stat } = await w.listener({ filterChains: [chain('c', { destinationPort: 1 })], accessLogs: log })
  t.equal(await closed(port), '')
  t.equal(stat('no_filter_chain_match'), 1)
  t.equal(stat('downstream_cx_total'), 0)
  t.equal(w.logged[0]?.info.responseCodeDetails, 'filter_chain_not_found')
  const fallback = await w.listener({
    filterChains: [chain('c', { destinationPort: 1 })],
    defaultFilterChain: chain('default'),
  })
  t.match(await talk(fallback.port, ''), /^default /)
})

t.test('tls_inspector: server name and ALPN choose the chain, the bytes reach TLS untouched', async t => {
  const w = world()
  t.teardown(() => w.close())
  const { port, stat } = await w.listener({
    listenerFilters: [TLS_INSPECTOR],
    filterChains: [
      chain('named', { serverNames: ['lab.test'], transportProtocol: 'tls' }, { transportSocket: TLS }),
      chain('alpn', { applicationProtocols: ['istio'] }, { transportSocket: TLS }),
      chain('plain', { transportProtocol: 'raw_buffer' }),
    ],
  })
  const dial = (options: tls.ConnectionOptions): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
      socket.once('data', d => {
        resolve(d.toString())
        socket.destroy()
      })
      socket.once('error', reject)
    })
  t.match(await dial({ servername: 'lab.test', ALPNProtocols: ['h2', 'x'] }), /^named tls h2\+x lab\.test /)
  t.match(await dial({ servername: 'other.test', ALPNProtocols: ['istio'] }), /^alpn tls istio other\.test /)
  t.match(await talk(port, 'GET / HTTP/1.1\r\n\r\n'), /^plain raw_buffer .*\nGET \/ HTTP\/1\.1\r\n\r\n$/)
  await t.rejects(dial({ servername: 'nobody.test' }))
  t.equal(stat('no_filter_chain_match'), 1)
  const value = (name: string): number => w.services.stats.value(`tls_inspector.${name}`)
  t.equal(value('tls_found'), 3)
  t.equal(value('tls_not_found'), 1)
  t.equal(value('sni_found'), 3)
  t.equal(value('alpn_found'), 2)
  t.equal(value('alpn_not_found'), 1)
})

t.test('http_inspector: versions, split requests, what is no HTTP', async t => {
  const w = world()
  t.teardown(() => w.close())
  const { port } = await w.listener({
    listenerFilters: [listenerFilter('http')],
    filterChains: [chain('http', { applicationProtocols: ['http/1.1', 'http/1.0', 'h2c'] }), chain('tcp')],
  })
  t.match(await talk(port, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n'), /^http raw_buffer http\/1\.1 /)
  t.match(await talk(port, 'POST /x HTTP/1.0\n\n'), /^http raw_buffer http\/1\.0 /)
  t.match(await talk(port, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /^http raw_buffer h2c /)
  t.match(await talk(port, 'SSH-2.0-x\r\n'), /^tcp raw_buffer {2}/)
  t.match(await talk(port, 'GETX / HTTP/1.1\r\n'), /^tcp /)
  t.match(await talk(port, 'GET / HTTP/2.0\r\n'), /^tcp /)
  const split = await new Promise<string>(resolve => {
    const socket = net.connect(port, '127.0.0.1', async () => {
      for (const c of 'GET / HTTP/1.1\r\n') {
        socket.write(c)
        await new Promise(setImmediate)
      }
    })
    socket.once('data', d => {
      resolve(d.toString())
      socket.destroy()
    })
  })
  t.match(split, /^http raw_buffer http\/1\.1 /)
  t.equal(w.services.stats.value('http_inspector.http11_found'), 2)
  t.equal(w.services.stats.value('http_inspector.http_not_found'), 3)
})

t.test('proxy_protocol: addresses are taken over and the header is taken off', async t => {
  const w = world()
  t.teardown(() => w.close())
  const config = proxyProtocolFactory.parse({}, FieldPath.root(), [])
  const { port, stat } = await w.listener({ listenerFilters: [listenerFilter('proxy', config)] })
  t.equal(await talk(port, 'PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\nhi'), 'c raw_buffer   1.2.3.4:11 5.6.7.8:22 true\nhi')
  t.match(await talk(port, 'PROXY UNKNOWN\r\nhi'), /127\.0\.0\.1:\d+ 127\.0\.0\.1:\d+ false\nhi$/)
  const v2 = Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x29', 'latin1'),
    Buffer.from(`${'20010db8'.padEnd(31, '0')}1${'20010db8'.padEnd(31, '0')}2`, 'hex'),
    Buffer.from([0, 80, 1, 187, 3, 0, 2, 0xff, 0xff]),
    Buffer.from('data'),
  ])
  t.equal(await talk(port, v2), 'c raw_buffer   [2001:db8::1]:80 [2001:db8::2]:443 true\ndata')
  for (const bad of ['PROXY TCP4 1.2.3.4\r\n', 'garbage', `PROXY TCP4 ${'1'.repeat(120)}`])
    t.not(await closed(port, bad), bad)
  t.equal(stat('downstream_listener_filter_error'), 3)
  t.equal(w.services.stats.value('proxy_proto.versions.v1.found'), 2)
  t.equal(w.services.stats.value('proxy_proto.versions.v1.error'), 2)
  t.equal(w.services.stats.value('downstream_cx_proxy_proto_error'), 3)
  const open = await w.listener({ listenerFilters: [listenerFilter('proxy', { ...config, allowWithout: true })] })
  t.match(await talk(open.port, 'garbage'), /\ngarbage$/)
})

t.test('silent clients: the timeout of the listener filters closes, or goes on', async t => {
  const timers = new VirtualTimers()
  const w = world(fakeServices(timers))
  t.teardown(() => w.close())
  const strict = await w.listener({ listenerFilters: [TLS_INSPECTOR], listenerFiltersTimeout: 1000 })
  const answer = closed(strict.port)
  await settled(() => strict.stat('downstream_listener_filter_remote_close') === 1)
  t.equal(await answer, '', 'a half-close ends the wait at once')
  const silent = new Promise<string>(resolve => {
    const socket = net.connect(strict.port, '127.0.0.1').on('close', () => resolve('closed'))
    socket.resume().on('error', () => {})
  })
  await settled(() => strict.stat('downstream_pre_cx_active') === 1)
  timers.pass(999)
  t.equal(strict.stat('downstream_pre_cx_timeout'), 0)
  timers.pass(2)
  t.equal(await silent, 'closed')
  t.equal(strict.stat('downstream_pre_cx_timeout'), 1)
  t.equal(strict.stat('downstream_pre_cx_active'), 0)
  const patient = await w.listener({
    statAddress: 'y',
    listenerFilters: [TLS_INSPECTOR],
    listenerFiltersTimeout: 1000,
    continueOnTimeout: true,
  })
  const greeting = new Promise<string>(resolve => {
    const socket = net.connect(patient.port, '127.0.0.1').once('data', d => {
      resolve(d.toString())
      socket.destroy()
    })
  })
  await settled(() => patient.stat('downstream_pre_cx_active') === 1)
  timers.pass(1001)
  t.match(await greeting, /^c raw_buffer/)
})

t.test('a silent TLS client meets the transport socket timeout', async t => {
  const timers = new VirtualTimers()
  const w = world(fakeServices(timers))
  t.teardown(() => w.close())
  const { port, stat } = await w.listener({
    filterChains: [chain('tls', {}, { transportSocket: TLS, transportSocketConnectTimeout: 2000 })],
  })
  const gone = new Promise<void>(resolve => {
    net
      .connect(port, '127.0.0.1')
      .on('close', () => resolve())
      .on('error', () => {})
      .resume()
  })
  await settled(() => stat('downstream_cx_active') === 1)
  timers.pass(2001)
  await gone
  await settled(() => stat('downstream_cx_destroy') === 1)
  t.equal(stat('downstream_cx_transport_socket_connect_timeout'), 1)
})

t.test('use_original_dst: handed to the listener of the address, then of the wildcard, once', async t => {
  const w = world()
  t.teardown(() => w.close())
  const parsed = proxyProtocolFactory.parse({ allow_requests_without_proxy_protocol: true }, FieldPath.root(), [])
  const proxy = listenerFilter('proxy', parsed)
  const at = (ip: string, port: number) => [{ address: ipAddress(ip, port), ipv4Compat: false, mode: 0, options: [] }]
  const exact = await w.listener({
    statAddress: 'exact',
    bindToPort: false,
    addresses: at('10.1.1.1', 80),
    listenerFilters: [listenerFilter('http')],
    filterChains: [chain('exact')],
  })
  await w.listener({
    statAddress: 'wild',
    bindToPort: false,
    addresses: at('0.0.0.0', 80),
    filterChains: [chain('wild')],
  })
  // The PROXY header restores a destination address, as iptables would.
  const front = await w.listener({ useOriginalDst: true, listenerFilters: [proxy], filterChains: [chain('front')] })
  const to = (ip: string, port: number): Promise<string> =>
    talk(front.port, `PROXY TCP4 9.9.9.9 ${ip} 1 ${port}\r\nGET / HTTP/1.1\r\n`)
  t.match(
    await to('10.1.1.1', 80),
    /^exact raw_buffer http\/1\.1 {2}9\.9\.9\.9:1 10\.1\.1\.1:80 true\nGET \/ HTTP\/1\.1\r\n$/,
  )
  t.match(await to('10.1.1.2', 80), /^wild /)
  t.match(await to('10.1.1.2', 81), /^front /)
  t.equal(exact.stat('downstream_cx_total'), 1)
  t.equal(front.stat('downstream_cx_total'), 1)
})

t.test('connection limits: of the process and of the listener', async t => {
  const w = world()
  t.teardown(() => w.close())
  let left = 1
  w.limit = {
    tryTake: () => left > 0 && left-- > 0,
    take: () => void left--,
    give: () => void left++,
    hand() {},
    receive() {},
    lost() {},
  }
  const { port, stat, listener } = await w.listener({})
  const first = net.connect(port, '127.0.0.1')
  await new Promise(done => first.once('data', done))
  t.equal(await closed(port), '')
  t.equal(stat('downstream_global_cx_overflow'), 1)
  first.destroy()
  await settled(() => listener.connectionCount === 0)
  t.equal(left, 1)
  t.match(await talk(port, 'x'), /x$/)
})

t.test('stop and drain: nobody new, connections go on until they are closed', async t => {
  const w = world()
  t.teardown(() => w.close())
  const { port, listener } = await w.listener({})
  const socket = net.connect(port, '127.0.0.1')
  await new Promise(done => socket.once('data', done))
  listener.stop(true)
  listener.drain()
  await t.rejects(talk(port, ''))
  socket.write('still here')
  const answer = await new Promise<Buffer>(done => socket.once('data', done))
  t.equal(answer.toString(), 'still here')
  const gone = new Promise(done => socket.once('close', done))
  socket.on('error', () => {})
  listener.closeAll(CloseHow.NoFlush)
  await gone
  t.equal(listener.connectionCount, 0)
})
