/** Istio's golden bootstraps, whole: nothing is left out of the comparison. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeBootstrap } from '../../../src/agent/bootstrap.ts'
import { configureLog } from '../../../src/agent/log.ts'
import { nodeIdentity } from '../../../src/agent/node-identity.ts'
import { readProxyConfig } from '../../../src/agent/proxy-config.ts'

const folder = join(import.meta.dirname, '../../fixtures/agent/bootstrap')

interface Case {
  readonly env?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly proxyConfig: Record<string, unknown>
}

const cases = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as Record<string, Case>

configureLog({ write: () => {} })

/** What Istio's test gives to every case. */
const COMMON = {
  ISTIO_METAJSON_LABELS: '{}',
  ISTIO_META_ISTIO_VERSION: 'binary-1.0',
  WORKLOAD_IDENTITY_SOCKET_FILE: 'test.sock',
  ENVOY_SKIP_DEPRECATED_LOGS: 'false',
}

t.test('every golden file has a case', async t => {
  const goldens = readdirSync(folder).filter(name => name.endsWith('_golden.json'))
  t.same(goldens.map(name => name.replace('_golden.json', '')).sort(), Object.keys(cases).sort())
  t.equal(goldens.length, 29)
})

for (const [name, { env: more = {}, annotations, proxyConfig }] of Object.entries(cases)) {
  t.test(`${name}: equal to Istio's bootstrap`, async t => {
    const env = {
      ...COMMON,
      ...(annotations === undefined ? {} : { ISTIO_METAJSON_ANNOTATIONS: JSON.stringify(annotations) }),
      ...more,
    }
    const lines = Object.entries(annotations ?? {}).map(([key, value]) => `${key}=${JSON.stringify(value)}\n`)
    const config = readProxyConfig(proxyConfig)
    // The table gives the id and the addresses themselves.
    const { INSTANCE_IP: _, ...rest } = env as Record<string, string>
    const node = nodeIdentity({
      type: 'sidecar',
      env: rest,
      domain: 'bar',
      config,
      labels: undefined,
      annotations: lines.join(''),
      localAddresses: ['10.3.3.3', '10.4.4.4', '10.5.5.5', '10.6.6.6', '10.4.4.4'],
      outlierLogPath: '/dev/stdout',
      metadata: { PILOT_SAN: ['spiffe://cluster.local/ns/istio-system/sa/istio-pilot-service-account'] },
    })
    const made = makeBootstrap({
      node: { ...node, id: 'sidecar~1.2.3.4~foo~bar' },
      config,
      env: rest,
      logAsJson: false,
      outlierLogPath: '/dev/stdout',
      sds: { workloadSocket: './var/run/secrets/workload-spiffe-uds/test.sock', filesSocket: undefined },
    })
    const golden = JSON.parse(readFileSync(join(folder, `${name}_golden.json`), 'utf8')) as object
    // Istio's test replaces the paths of its temporary folder in the same way.
    const text = JSON.stringify(made)
      .replace(/"path":"[^"]*\/XDS"/, '"path":"/tmp/XDS"')
      .replace(/"access_token_file":"[^"]*\/lightstep/, '"access_token_file":"/test-path/lightstep')
    t.same(JSON.parse(text), golden)
  })
}
