import { connect } from 'node:net'
import tls from 'node:tls'
import t from 'tap'
import { certificatePath } from '../../harness/certificates.ts'
import { settled, until } from '../../harness/until.ts'
import { RunningProxy } from '../proxy/running-proxy.ts'

const bootstrap = (port: number, admin: number): string => `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${admin} } } }
static_resources:
  listeners:
  - name: secure
    stat_prefix: secure
    address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
    connection_balance_config: { exact_balance: {} }
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - certificate_chain: { filename: ${certificatePath('server.pem')} }
              private_key: { filename: ${certificatePath('server.key')} }
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: secure
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: / }
                direct_response: { status: 200 }
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`

interface Outcome {
  readonly resumed: boolean
  readonly session: Buffer | undefined
}

function visit(port: number, maxVersion: tls.SecureVersion, session: Buffer | undefined): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let newest = session
    const options = { host: '127.0.0.1', port, rejectUnauthorized: false, maxVersion }
    const socket = tls.connect(session === undefined ? options : { ...options, session })
    socket.on('session', s => {
      newest = s
    })
    let resumed = false
    socket.on('secureConnect', () => {
      resumed = socket.isSessionReused()
      socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    })
    socket.on('data', () => {})
    socket.on('error', reject)
    socket.on('close', () => resolve({ resumed, session: newest }))
  })
}

t.test('a ticket of one worker is taken by every other', async t => {
  const proxy = await RunningProxy.start({ upstream: 0, bootstrap, concurrency: 2 })
  t.teardown(() => proxy.stop())
  const listener = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${proxy.admin}/stats?filter=^listener.secure`)).text()
  /** Of worker 0 and of worker 1. */
  const workers = async (name: string): Promise<number[]> =>
    [...(await listener()).matchAll(new RegExp(`worker_\\d\\.${name}: (\\d+)`, 'g'))].map(match => Number(match[1]))
  let resumptions = 0
  for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
    // Says nothing, but is one more: the next goes to worker 1. When none is left it is worker 0's turn.
    const silent = connect(proxy.port, '127.0.0.1')
    t.teardown(() => silent.destroy())
    await until(async () => String(await workers('downstream_cx_active')) === '1,0')
    const first = await visit(proxy.port, version, undefined)
    t.notOk(first.resumed)
    t.ok(first.session !== undefined, 'a ticket came')
    for (let i = 0; i < 6; i++) t.ok((await visit(proxy.port, version, first.session)).resumed, `${version} ${i}`)
    silent.destroy()
    await until(async () => String(await workers('downstream_cx_active')) === '0,0')
    const [before] = await workers('downstream_cx_total')
    for (let i = 6; i < 12; i++) t.ok((await visit(proxy.port, version, first.session)).resumed, `${version} ${i}`)
    await until(async () => (await workers('downstream_cx_total'))[0]! > before!, 'worker 0 was asked, too')
    resumptions += 12
  }
  const stats = await settled(listener, text => text.includes(`ssl.session_reused: ${resumptions}\n`))
  t.match(stats, new RegExp(`ssl.session_reused: ${resumptions}\n`))
})
