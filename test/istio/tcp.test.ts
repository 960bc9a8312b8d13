import { createServer } from 'node:net'
import t from 'tap'
import { ECHO, startMesh } from './mesh.ts'
import { counted } from './observed.ts'
import { tcpEcho, tcpExchange } from './traffic.ts'

const mesh = await startMesh({ pods: ['sleep', 'echo'] })
const [sleep, echo] = [mesh.pod('sleep'), mesh.pod('echo')]
const peers: string[] = []
echo.serve(tcpEcho(peers), 9000)
echo.serve(tcpEcho(), 5432)

const WORKLOADS = {
  source_workload: 'sleep',
  source_workload_namespace: 'demo',
  source_canonical_service: 'sleep',
  source_principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
  destination_workload: 'echo',
  destination_workload_namespace: 'demo',
  destination_canonical_service: 'echo',
  destination_principal: 'spiffe://cluster.local/ns/demo/sa/echo',
  request_protocol: 'tcp',
  response_flags: '-',
}

t.test(
  'bytes to a service address go through both sidecars by mutual TLS, and both know who talks to whom',
  async t => {
    t.equal(await tcpExchange(sleep, ECHO, 9000, 'ping pong'), 'ping pong')
    t.same(peers, ['127.0.0.6'], 'the inbound side is told from a self call by this address')
    const bytes = {
      istio_tcp_sent_bytes_total: 9,
      istio_tcp_received_bytes_total: 9,
      istio_tcp_connections_closed_total: 1,
    }
    for (const [name, value] of Object.entries({ istio_tcp_connections_opened_total: 1, ...bytes })) {
      t.hasStrict(await counted(sleep, name, { reporter: 'source', destination_service_name: 'echo' }, value), {
        ...WORKLOADS,
        destination_service: 'echo.demo.svc.cluster.local',
        destination_service_name: 'echo',
        connection_security_policy: 'unknown',
      })
      t.hasStrict(await counted(echo, name, { reporter: 'destination' }, value), {
        ...WORKLOADS,
        connection_security_policy: 'mutual_tls',
      })
    }
    // The pushed logs are filtered by response.code >= 200: connections have none.
    for (const pod of [sleep, echo]) t.notMatch(pod.output, /^\[\d{4}-.*echo\.demo/m)
  },
)

t.test('a headless service: the address that was meant, with the certificate of its service', async t => {
  t.equal(await tcpExchange(sleep, '10.77.0.40', 5432, 'select'), 'select')
  t.ok(
    await counted(sleep, 'istio_tcp_connections_opened_total', {
      destination_service: 'headless.demo.svc.cluster.local',
      destination_principal: 'spiffe://cluster.local/ns/demo/sa/echo',
    }),
  )
})

t.test('ten megabytes one way, then the other', async t => {
  const text = 'x'.repeat(10_000_000)
  t.equal((await tcpExchange(sleep, ECHO, 9000, text)).length, text.length)
})

t.test('a server that speaks first is heard, and one that hangs up is told of', async t => {
  echo.serve(
    createServer(socket => socket.on('error', () => {}).end('220 welcome\r\n')),
    8443,
  )
  const socket = sleep.connect(ECHO, 443)
  let got = ''
  socket.on('data', chunk => (got += chunk.toString()))
  await new Promise(resolve => socket.on('close', resolve))
  t.equal(got, '220 welcome\r\n')
})

t.test(
  'nobody listens behind the server sidecar: the connection is closed, flags and workloads are counted',
  async t => {
    echo.unserve(8443)
    t.equal(await tcpExchange(sleep, ECHO, 443, 'anybody?'), '')
    const closed = { reporter: 'destination', response_flags: 'UF,URX' }
    t.hasStrict(await counted(echo, 'istio_tcp_connections_closed_total', closed), {
      source_principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
      destination_workload: 'echo',
    })
  },
)

t.test('half close: what the server still has to say arrives', async t => {
  const socket = sleep.connect(ECHO, 9000)
  let got = ''
  socket.on('data', chunk => (got += chunk.toString()))
  const closed = new Promise(resolve => socket.on('close', resolve))
  socket.end('last words')
  await closed
  t.equal(got, 'last words')
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))
