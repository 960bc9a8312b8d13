import { createSocket } from 'node:dgram'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ServerCredentials } from '@grpc/grpc-js'
import dns from 'dns-packet'
import t from 'tap'
import { encodeMessage } from '../../../src/config/binary-writer.ts'
import { certificate, certificatePath } from '../../harness/certificates.ts'
import { allocatePort } from '../../harness/ports.ts'
import { settled, until } from '../../harness/until.ts'
import { ScriptedControlPlane } from '../xds/control-plane.ts'
import { ask, RunningAgent, realEnvoy } from './running-agent.ts'

const ENVOY = join(import.meta.dirname, '../../../bin/envoy')
const NDS = 'type.googleapis.com/istio.networking.nds.v1.NameTable'

const PCDS = 'type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig'

const cluster = {
  name: 'app',
  type: 'STATIC',
  loadAssignment: { clusterName: 'app', endpoints: [] },
}

function listener(port: number): object {
  return {
    name: 'virtualInbound',
    address: { socketAddress: { address: '127.0.0.1', portValue: port } },
    filterChains: [
      {
        filters: [
          {
            name: 'tcp',
            typedConfig: {
              '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
              statPrefix: 'tcp',
              cluster: 'app',
            },
          },
        ],
      },
    ],
  }
}

const nameTable = encodeMessage('istio.networking.nds.v1.NameTable', {
  table: {
    'web.demo.svc.cluster.local': { ips: ['10.9.9.9'], registry: 'Kubernetes', shortname: 'web', namespace: 'demo' },
  },
})

/** Asks the agent for the first address of a name. */
function resolve(port: number, name: string): Promise<string | undefined> {
  return new Promise(done => {
    const socket = createSocket('udp4')
    socket.on('message', bytes => {
      socket.close()
      done(dns.decode(bytes).answers?.[0]?.data)
    })
    socket.send(dns.encode({ type: 'query', id: 1, questions: [{ type: 'A', name }] }), port, '127.0.0.1')
  })
}

const real = realEnvoy()
const PROXIES = [
  { proxy: 'bin/envoy', binary: ENVOY, delta: true },
  { proxy: 'bin/envoy', binary: ENVOY, delta: false },
  ...(real === undefined ? [] : [{ proxy: 'the real Envoy', binary: real, delta: true }]),
]

for (const { proxy, binary, delta } of PROXIES) {
  t.test(`${delta ? 'delta' : 'state of the world'}: ${proxy} ← agent ← istiod with mutual TLS`, async t => {
    const plane = new ScriptedControlPlane()
    const { cert, key } = certificate('server')
    const roots = readFileSync(certificatePath('ca.pem'))
    const port = await plane.listen(
      '127.0.0.1:0',
      ServerCredentials.createSsl(roots, [{ cert_chain: cert, private_key: key }], true),
    )
    const agent = new RunningAgent()
    t.teardown(async () => {
      await agent.stop()
      plane.close()
    })
    const token = join(agent.folder, 'var/run/secrets/tokens/istio-token')
    mkdirSync(join(token, '..'), { recursive: true })
    writeFileSync(token, 'first\n')
    const provisioned = join(agent.folder, 'certs')
    mkdirSync(provisioned)
    copyFileSync(certificatePath('ca.pem'), join(provisioned, 'root-cert.pem'))
    copyFileSync(certificatePath('client.pem'), join(provisioned, 'cert-chain.pem'))
    copyFileSync(certificatePath('client.key'), join(provisioned, 'key.pem'))
    const dnsPort = await allocatePort()
    agent.start(
      binary,
      {
        PROV_CERT: provisioned,
        ISTIOD_SAN: 'lab.test',
        ISTIO_META_CLUSTER_ID: 'Kubernetes',
        XDS_HEADER_X_ROUTE: 'blue',
        PROXY_CONFIG_XDS_AGENT: 'true',
        ISTIO_META_DNS_CAPTURE: 'true',
        DNS_PROXY_ADDR: `127.0.0.1:${dnsPort}`,
        ...(delta ? {} : { ISTIO_DELTA_XDS: 'false' }),
      },
      { discoveryAddress: `127.0.0.1:${port}` },
      ['--log_output_level=all:debug'],
    )
    const send = (type: 'CDS' | 'LDS', name: string, message: object): void =>
      delta ? plane.delta(type, 'v1', [{ name, version: '1', message }]) : plane.send(type, 'v1', [message])

    await plane.requests(1)
    t.match(plane.take(), [{ type: 'CDS', node: 'sidecar~10.1.2.3~echo-v1.demo~demo.svc.cluster.local' }])
    t.match(plane.metadata.at(-1), { authorization: 'Bearer first', clusterid: 'Kubernetes', x_route: 'blue' })
    const readiness = async (): Promise<number> => (await ask(agent.status, '/healthz/ready')).status
    t.equal(await settled(readiness, status => status !== 0), 503)
    t.match(await ask(agent.status, '/debug/ndsz'), { status: 404, body: '{}' })
    send('CDS', 'app', cluster)
    await plane.requests(4)
    const after = plane.take().filter(({ nonce }) => nonce === '')
    t.same(
      after.map(({ type, error, nonce }) => [type, nonce, error]),
      [
        ['LDS', '', undefined],
        ['NameTable', '', undefined],
        ['ProxyConfig', '', undefined],
      ],
      'the agent asks for its own types after the first request for listeners, and not before',
    )
    send('LDS', 'virtualInbound', listener(agent.admin + 4))
    await plane.requests(1)
    t.match(plane.take(), [{ type: 'LDS', nonce: '2' }])
    await until(async () => {
      await ask(agent.status, '/healthz/ready')
      return agent.output.includes('DNS lookup table is not ready yet')
    })
    t.match(await ask(agent.status, '/healthz/ready'), { status: 503 }, 'not ready without the name table')

    const nds = { type_url: NDS, value: nameTable }
    if (delta) plane.deltaRaw(NDS, 'v1', [{ name: 'table', resource: nds }])
    else plane.sendRaw(NDS, 'v1', [nds])
    await plane.requests(1)
    const [ack] = plane.take()
    t.equal(ack?.type, 'NameTable')
    t.equal(ack?.nonce, '3')
    t.equal(ack?.error, undefined)
    if (!delta) t.equal(ack?.version, 'v1')
    t.equal(await settled(readiness, status => status === 200), 200)
    const names = JSON.parse((await ask(agent.status, '/debug/ndsz')).body) as { table: Record<string, unknown> }
    t.same(names.table['web.'], { ips: ['10.9.9.9'], registry: 'Kubernetes' })

    t.equal(await resolve(dnsPort, 'web.demo'), '10.9.9.9')

    // ProxyConfig {ca_certificates_pem = 34}, whose length takes two bytes.
    const pem = Buffer.concat([Buffer.from([0x92, 0x02, (roots.length & 0x7f) | 0x80, roots.length >> 7]), roots])
    const pcds = { type_url: PCDS, value: pem }
    if (delta) plane.deltaRaw(PCDS, 'v1', [{ name: 'config', resource: pcds }])
    else plane.sendRaw(PCDS, 'v1', [pcds])
    await plane.requests(1)
    t.match(plane.take(), [{ type: 'ProxyConfig', nonce: '4', error: undefined }])
    await agent.says('update new trust bundle')

    // Istiod goes; its successor is asked anew, with the token of then, for what the proxy has already.
    writeFileSync(token, 'second\n')
    plane.disconnect()
    await until(async () => plane.metadata.at(-1)?.authorization === 'Bearer second')
    await plane.requests(4)
    const again = plane.take()
    t.same(again.map(({ type }) => type).sort(), ['CDS', 'LDS', 'NameTable', 'ProxyConfig'])
    const clusters = again.find(({ type }) => type === 'CDS')
    if (delta) t.same(clusters?.initial, { app: '1' })
    else t.equal(clusters?.version, 'v1')
    t.match(await ask(agent.status, '/healthz/ready'), { status: 200 }, 'a pod without istiod still serves')

    const page = (await ask(agent.status, '/stats/prometheus')).body
    t.match(page, /^istio_agent_xds_proxy_requests \d+$/m)
    t.match(page, /^istio_agent_xds_proxy_responses 4$/m)
    t.match(page, /^istio_agent_istiod_connection_terminations\{type="error"\} 1$/m)
    await agent.says(`connected to ${delta ? 'delta ' : ''}upstream XDS server: 127.0.0.1:${port}\tid=1`)
    await agent.says(
      'warn\txdsproxy\tupstream terminated with unexpected error rpc error: code = Unavailable desc = scripted end\tid=1',
    )
  })
}

t.test('an istiod with another name or another root is not talked to', async t => {
  const plane = new ScriptedControlPlane()
  const { cert, key } = certificate('server')
  const port = await plane.listen(
    '127.0.0.1:0',
    ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]),
  )
  t.teardown(() => plane.close())
  for (const [san, root] of [
    ['istiod.istio-system.svc', 'ca.pem'],
    ['lab.test', 'stranger.pem'],
  ] as const) {
    const agent = new RunningAgent()
    agent.start(
      ENVOY,
      {
        ISTIOD_SAN: san,
        XDS_ROOT_CA: certificatePath(root),
        CA_ADDR: `127.0.0.1:${port}`,
        CA_ROOT_CA: certificatePath(root),
      },
      { discoveryAddress: `localhost:${port}` },
      ['--log_output_level=xdsproxy:debug'],
    )
    await agent.says('failed to create delta upstream grpc client: rpc error: code = Unavailable')
    await agent.stop()
  }
  t.same(plane.metadata, [])
})
