import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { dirname, join } from 'node:path'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { certificate, certificatePath } from '../../harness/certificates.ts'
import { allocatePort } from '../../harness/ports.ts'
import { until } from '../../harness/until.ts'
import { bootstrap } from '../xds/bootstrap.ts'
import { encode, ScriptedControlPlane } from '../xds/control-plane.ts'
import { ads, listener, staticCluster } from '../xds/resources.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret'

const sds = (name: string, source: object) => ({
  tls_certificate_sds_secret_configs: [{ name, sds_config: source }],
})
const tlsSocket = (side: string, common: object) => ({
  name: 'tls',
  typed_config: { '@type': `${TLS}.${side}TlsContext`, common_tls_context: common },
})

function tlsListener(name: string, port: number, common: object): object {
  const plain = listener(name, port, ['r']) as { filter_chains: { filters: { typed_config: object }[] }[] }
  const hcm = { ...plain.filter_chains[0]!.filters[0]!.typed_config, rds: undefined, route_config: { name: 'r' } }
  const filters = [{ name: 'hcm', typed_config: JSON.parse(JSON.stringify(hcm)) as object }]
  return { ...plain, filter_chains: [{ filters, transport_socket: tlsSocket('Downstream', common) }] }
}

function run(t: Test, directory: string, config: object): void {
  const file = join(directory, 'bootstrap.json')
  writeFileSync(file, JSON.stringify(config))
  const child = spawn(ENVOY, ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'off'], {
    stdio: 'ignore',
  })
  t.teardown(() => child.kill('SIGKILL'))
}

function get(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path, agent: false }, response => {
      let body = ''
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve(body))
    })
    request.on('error', reject)
  })
}

/** Common name of the certificate that a server shows. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

t.test('clusters and listeners take no traffic before their secrets have arrived', async t => {
  const plane = new ScriptedControlPlane()
  const admin = await allocatePort()
  const port = await allocatePort()
  run(t, t.testdir({}), bootstrap({ port: await plane.listen('127.0.0.1:0') }, admin))
  t.teardown(() => plane.close())
  const stats = (filter: string): Promise<string> => get(admin, `/stats?filter=${filter}`)
  const send = (name: string): void => {
    const { cert, key } = certificate('server')
    const secret = {
      name,
      tls_certificate: {
        certificate_chain: { inline_string: cert.toString() },
        private_key: { inline_string: key.toString() },
      },
    }
    const type = `type.googleapis.com/${SECRET}`
    plane.sendRaw(type, name, [{ type_url: type, value: encode(SECRET, secret) }])
  }

  await plane.requests(1)
  const cluster = staticCluster('a', { transport_socket: tlsSocket('Upstream', sds('one', ads)) })
  plane.send('CDS', '1', [cluster])
  await until(async () => (await stats('warming_clusters')).includes('warming_clusters: 1'))
  t.match(await stats('active_clusters'), 'active_clusters: 1\n', 'only the one of the control plane')
  send('one')
  await until(async () => (await stats('active_clusters')).includes('active_clusters: 2'))

  plane.send('LDS', '1', [tlsListener('l', port, sds('two', ads))])
  await until(async () => (await stats('total_listeners_warming')).includes('warming: 1'))
  t.match(await stats('total_listeners_active'), 'active: 0\n')
  send('two')
  await until(async () => (await shown(port)) === 'lab.test')
  t.match(await stats('^sds.two.update_success'), 'sds.two.update_success: 1\n')

  const changed = staticCluster('a', {
    connect_timeout: '3s',
    transport_socket: tlsSocket('Upstream', sds('three', ads)),
  })
  plane.send('CDS', '2', [changed])
  await until(async () => (await stats('warming_clusters')).includes('warming_clusters: 1'))
  t.match(await stats('active_clusters'), 'active_clusters: 2\n', 'the version before goes on')
  send('three')
  await until(async () => (await stats('warming_clusters')).includes('warming_clusters: 0'))
})

t.test('files of SDS secrets are read again when they change, those of static certificates are not', async t => {
  const directory = t.testdir({ live: {}, watched: {} })
  const admin = await allocatePort()
  const [byFile, fixed] = [await allocatePort(), await allocatePort()]
  const live = (file: string): string => join(directory, 'live', file)
  const place = (from: string, to: string): void => {
    mkdirSync(dirname(to), { recursive: true })
    copyFileSync(certificatePath(from), `${to}.new`)
    renameSync(`${to}.new`, to)
  }
  const rotate = (pair: string): void => {
    place(`${pair}.pem`, live('cert.pem'))
    place(`${pair}.key`, live('key.pem'))
  }
  rotate('server')
  const files = { certificate_chain: { filename: live('cert.pem') }, private_key: { filename: live('key.pem') } }
  const path = join(directory, 'sds.json')
  const put = (version: string, certificate: object): void => {
    const resources = [{ '@type': `type.googleapis.com/${SECRET}`, name: 's', tls_certificate: certificate }]
    writeFileSync(`${path}.new`, JSON.stringify({ version_info: version, resources }))
    renameSync(`${path}.new`, path)
  }
  put('1', files)
  run(t, directory, {
    node: { id: 'node', cluster: 'test' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: admin } } },
    static_resources: {
      listeners: [
        tlsListener('sds', byFile, sds('s', { path_config_source: { path } })),
        tlsListener('fixed', fixed, { tls_certificates: [files] }),
      ],
    },
  })
  const stats = (filter: string): Promise<string> => get(admin, `/stats?filter=${filter}`)
  await until(async () => (await shown(byFile)) === 'lab.test')

  rotate('other')
  await until(async () => (await shown(byFile)) === 'other.test')
  t.equal(await shown(fixed), 'lab.test')

  place('server.pem', live('cert.pem'))
  await until(async () => /key_rotation_failed: [1-9]/.test(await stats('key_rotation_failed')))
  t.equal(await shown(byFile), 'other.test', 'half a pair changes nothing')
  place('server.key', live('key.pem'))
  await until(async () => (await shown(byFile)) === 'lab.test')

  // A link like those of a mounted volume: nothing moves in the directory of the files.
  place('other.pem', join(directory, 'far', 'cert.pem'))
  place('other.key', join(directory, 'far', 'key.pem'))
  put('2', {
    certificate_chain: { filename: join(directory, 'far', 'cert.pem') },
    private_key: { filename: join(directory, 'far', 'key.pem') },
    watched_directory: { path: join(directory, 'watched') },
  })
  await until(async () => (await shown(byFile)) === 'other.test')
  t.match(await stats('sds.s.update_success'), 'sds.s.update_success: 2\n')
  place('server.pem', join(directory, 'far', 'cert.pem'))
  place('server.key', join(directory, 'far', 'key.pem'))
  place('ca.pem', join(directory, 'watched', 'any'))
  await until(async () => (await shown(byFile)) === 'lab.test')
  t.equal(await shown(fixed), 'lab.test')
})
