import { readFileSync } from 'node:fs'
import { certificate, certificatePath } from '../../harness/certificates.ts'
import type { DeltaResource } from './control-plane.ts'
import { ads, staticCluster } from './resources.ts'
import type { Step } from './scenarios.ts'

const PORT = 26460
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'
const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

/** Through a stream of its own to the cluster `xds`, as Istio's agent is asked. */
const own = (type: 'GRPC' | 'DELTA_GRPC'): object => ({
  api_config_source: {
    api_type: type,
    set_node_on_first_message_only: true,
    transport_api_version: 'V3',
    grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
  },
  initial_fetch_timeout: '0s',
  resource_api_version: 'V3',
})
const impatient = { ...ads, initial_fetch_timeout: '0.25s' }

const secretConfig = (name: string, source: object): object => ({ name, sds_config: source })

function socket(side: 'Downstream' | 'Upstream', common: object, more: object = {}): object {
  return { name: 'tls', typed_config: { '@type': `${TLS}.${side}TlsContext`, common_tls_context: common, ...more } }
}

const certificates = (name: string, source: object): object => ({
  tls_certificate_sds_secret_configs: [secretConfig(name, source)],
})

/** Answers 200 by itself. */
function tlsListener(name: string, port: number, transport: object): DeltaResource {
  const reply = { status: 200, body: { inline_string: 'hello' } }
  const hcm = {
    '@type': HCM,
    stat_prefix: 'in',
    route_config: {
      name: 'r',
      virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: reply }] }],
    },
    http_filters: [
      {
        name: 'router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  }
  const message = {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }], transport_socket: transport }],
  }
  return { name, version: '1', message }
}

function pair(name: string): object {
  const { cert, key } = certificate(name)
  return {
    certificate_chain: { inline_bytes: cert.toString('base64') },
    private_key: { inline_bytes: key.toString('base64') },
  }
}

const secret = (name: string, version: string, body: object): DeltaResource => ({
  name,
  version,
  message: { name, ...body },
})
const keyPair = (name: string, version: string, of: string): DeltaResource =>
  secret(name, version, { tls_certificate: pair(of) })
const authority = (name: string, version: string): DeltaResource =>
  secret(name, version, {
    validation_context: {
      trusted_ca: { inline_bytes: readFileSync(certificatePath('ca.pem')).toString('base64') },
    },
  })

/** Secrets: over incremental ADS, and over streams of their own. */
export const SDS_SCENARIOS: Readonly<Record<string, readonly Step[]>> = {
  'certificate of a listener': [
    { name: 'connect', run: () => {} },
    { name: 'no clusters', run: p => p.delta('CDS', 's1', []) },
    {
      name: 'a listener waits for its certificate',
      run: p => p.delta('LDS', 's2', [tlsListener('l', PORT, socket('Downstream', certificates('one', ads)))]),
    },
    {
      name: 'the certificate',
      run: p => p.delta('SDS', 's3', [keyPair('one', '1', 'server')]),
      visit: { port: PORT, tls: true },
    },
    {
      name: 'another certificate',
      run: p => p.delta('SDS', 's4', [keyPair('one', '2', 'other')]),
      visit: { port: PORT, tls: true },
    },
    { name: 'the same again', run: p => p.delta('SDS', 's5', [keyPair('one', '3', 'other')]) },
    {
      name: 'it is removed',
      run: p => p.delta('SDS', 's6', [], ['one']),
      visit: { port: PORT, tls: true },
    },
    {
      name: 'the key of another',
      run: p =>
        p.delta('SDS', 's7', [
          secret('one', '4', {
            tls_certificate: { ...pair('server'), private_key: { filename: certificatePath('other.key') } },
          }),
        ]),
      visit: { port: PORT, tls: true },
    },
    {
      name: 'a file that is not there',
      run: p =>
        p.delta('SDS', 's8', [
          secret('one', '5', {
            tls_certificate: { ...pair('server'), certificate_chain: { filename: '/nonexistent/x' } },
          }),
        ]),
      visit: { port: PORT, tls: true },
    },
    {
      name: 'no certificate but an authority',
      run: p => p.delta('SDS', 's9', [authority('one', '6')]),
      visit: { port: PORT, tls: true },
    },
    {
      name: 'good again',
      run: p => p.delta('SDS', 's11', [keyPair('one', '7', 'server')]),
      visit: { port: PORT, tls: true },
    },
    { name: 'the stream breaks', run: p => p.disconnect() },
  ],
  'secrets that never come': [
    { name: 'connect', run: () => {} },
    {
      name: 'a cluster whose certificate never comes',
      run: p =>
        p.delta('CDS', 's1', [
          {
            name: 'a',
            version: '1',
            message: staticCluster('a', { transport_socket: socket('Upstream', certificates('c', impatient)) }),
          },
        ]),
    },
    {
      name: 'a listener whose certificate never comes',
      run: p => p.delta('LDS', 's2', [tlsListener('l', PORT, socket('Downstream', certificates('one', impatient)))]),
      visit: { port: PORT, tls: true },
    },
    {
      name: 'it does after all',
      run: p => p.delta('SDS', 's3', [keyPair('one', '1', 'server')]),
      visit: { port: PORT, tls: true },
    },
    { name: 'an answer to both that has neither', run: p => p.delta('SDS', 's4', []) },
    { name: 'a secret nobody asked for', run: p => p.delta('SDS', 's5', [keyPair('zz', '1', 'server')]) },
    { name: 'the cluster goes', run: p => p.delta('CDS', 's6', [], ['a']) },
    { name: 'the listener goes', run: p => p.delta('LDS', 's7', [], ['l']) },
  ],
  authorities: [
    { name: 'connect', run: () => {} },
    { name: 'no clusters', run: p => p.delta('CDS', 's1', []) },
    {
      name: 'a listener that asks for certificates of clients',
      run: p =>
        p.delta('LDS', 's2', [
          tlsListener(
            'l',
            PORT,
            socket(
              'Downstream',
              {
                ...certificates('default', ads),
                combined_validation_context: {
                  default_validation_context: {
                    match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://' } }],
                  },
                  validation_context_sds_secret_config: secretConfig('ROOTCA', ads),
                },
              },
              { require_client_certificate: true },
            ),
          ),
        ]),
    },
    { name: 'only its certificate', run: p => p.delta('SDS', 's3', [keyPair('default', '1', 'server')]) },
    {
      name: 'its authority, a friend',
      run: p => p.delta('SDS', 's4', [authority('ROOTCA', '1')]),
      visit: { port: PORT, tls: true, certificate: 'client' },
    },
    { name: 'a stranger', run: () => {}, visit: { port: PORT, tls: true, certificate: 'stranger' } },
    {
      name: 'the authority is the stranger now',
      run: p =>
        p.delta('SDS', 's5', [
          secret('ROOTCA', '2', { validation_context: { trusted_ca: { filename: certificatePath('stranger.pem') } } }),
        ]),
      visit: { port: PORT, tls: true, certificate: 'client' },
    },
    {
      name: 'an authority that is none',
      run: p =>
        p.delta('SDS', 's6', [secret('ROOTCA', '3', { validation_context: { trusted_ca: { inline_string: 'x' } } })]),
    },
    {
      name: 'keys of tickets, which nobody asked for',
      run: p =>
        p.delta('SDS', 's7', [
          secret('default', '3', {
            session_ticket_keys: { keys: [{ inline_bytes: Buffer.alloc(80, 1).toString('base64') }] },
          }),
        ]),
    },
  ],
  'keys of tickets': [
    { name: 'connect', run: () => {} },
    { name: 'no clusters', run: p => p.delta('CDS', 's1', []) },
    {
      name: 'a listener that shares the keys of its tickets',
      run: p =>
        p.delta('LDS', 's2', [
          tlsListener(
            'l',
            PORT,
            socket(
              'Downstream',
              { tls_certificates: [pair('server')] },
              { session_ticket_keys_sds_secret_config: secretConfig('tickets', ads) },
            ),
          ),
        ]),
    },
    {
      name: 'keys',
      run: p =>
        p.delta('SDS', 's3', [
          secret('tickets', '1', {
            session_ticket_keys: { keys: [{ inline_bytes: Buffer.alloc(80, 1).toString('base64') }] },
          }),
        ]),
      visit: { port: PORT, tls: true },
    },
    {
      name: 'a key that is too short',
      run: p =>
        p.delta('SDS', 's4', [
          secret('tickets', '2', {
            session_ticket_keys: { keys: [{ inline_bytes: Buffer.alloc(48, 1).toString('base64') }] },
          }),
        ]),
      visit: { port: PORT, tls: true },
    },
  ],
  'streams of their own': [
    { name: 'connect', run: () => {} },
    {
      name: 'a cluster as Istio has it',
      run: p =>
        p.delta('CDS', 's1', [
          {
            name: 'a',
            version: '1',
            message: staticCluster('a', {
              transport_socket: socket('Upstream', {
                ...certificates('default', own('GRPC')),
                combined_validation_context: {
                  default_validation_context: {},
                  validation_context_sds_secret_config: secretConfig('ROOTCA', own('GRPC')),
                },
              }),
            }),
          },
        ]),
    },
    {
      name: 'its certificate',
      run: p => p.send('SDS', 'v1', [keyPair('default', '', 'server').message!], 'StreamSecrets default'),
    },
    {
      name: 'its authority',
      run: p => p.send('SDS', 'v2', [authority('ROOTCA', '').message!], 'StreamSecrets ROOTCA'),
    },
    {
      name: 'a listener with the same certificate, and the keys of tickets by another protocol',
      run: p =>
        p.delta('LDS', 's2', [
          tlsListener(
            'l',
            PORT,
            socket('Downstream', certificates('default', own('GRPC')), {
              session_ticket_keys_sds_secret_config: secretConfig('tickets', own('DELTA_GRPC')),
            }),
          ),
        ]),
    },
    {
      name: 'keys',
      run: p =>
        p.delta(
          'SDS',
          's3',
          [
            secret('tickets', '1', {
              session_ticket_keys: { keys: [{ inline_bytes: Buffer.alloc(80, 1).toString('base64') }] },
            }),
          ],
          [],
          'DeltaSecrets tickets',
        ),
      visit: { port: PORT, tls: true },
    },
    {
      name: 'the certificate is renewed',
      run: p => p.send('SDS', 'v3', [keyPair('default', '', 'other').message!], 'StreamSecrets default'),
      visit: { port: PORT, tls: true },
    },
    { name: 'an answer without it', run: p => p.send('SDS', 'v4', [], 'StreamSecrets default') },
    {
      name: 'an answer with two',
      run: p =>
        p.send(
          'SDS',
          'v5',
          [keyPair('default', '', 'server').message!, keyPair('other', '', 'other').message!],
          'StreamSecrets default',
        ),
      visit: { port: PORT, tls: true },
    },
    {
      name: 'the wrong name',
      run: p => p.send('SDS', 'v6', [keyPair('other', '', 'other').message!], 'StreamSecrets default'),
      visit: { port: PORT, tls: true },
    },
    { name: 'the cluster goes', run: p => p.delta('CDS', 's4', [], ['a']) },
    { name: 'all streams break', run: p => p.disconnect() },
  ],
}
