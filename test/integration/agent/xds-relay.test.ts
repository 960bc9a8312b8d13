import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import t from 'tap'
import { configureLog } from '../../../src/agent/log.ts'
import type { ModuleRequest, WasmModules } from '../../../src/agent/wasm/module-cache.ts'
import { relayMetrics } from '../../../src/agent/xds-relay/metrics.ts'
import { DELTA, type RelayProtocol, STATE_OF_THE_WORLD } from '../../../src/agent/xds-relay/protocol.ts'
import { XdsRelay } from '../../../src/agent/xds-relay/relay.ts'
import type { ResourceHandler } from '../../../src/agent/xds-relay/stream.ts'
import type { Upstream } from '../../../src/agent/xds-relay/upstream.ts'
import { decodeMessage } from '../../../src/config/binary.ts'
import { encodeMessage } from '../../../src/config/binary-writer.ts'
import { settled } from '../../harness/until.ts'
import { type PlaneStream, ProxyStream, RawControlPlane } from './raw-control-plane.ts'

const lines: string[] = []
configureLog({ write: line => void lines.push(line), outputLevel: 'default:info,xdsproxy:debug' })

const PREFIX = 'type.googleapis.com/'
const LISTENER = `${PREFIX}envoy.config.listener.v3.Listener`
const CLUSTER = `${PREFIX}envoy.config.cluster.v3.Cluster`
const ECDS = `${PREFIX}envoy.config.core.v3.TypedExtensionConfig`
const HEALTH = `${PREFIX}istio.v1.HealthInformation`
const OWN = `${PREFIX}istio.networking.nds.v1.NameTable`

interface Decoded {
  readonly type_url?: string
  readonly version_info?: string
  readonly response_nonce?: string
  readonly error_detail?: { readonly code?: number; readonly message?: string }
}

interface Teardown {
  teardown: (fn: () => void) => void
}

class Setup {
  readonly plane = new RawControlPlane()
  readonly registry = new Registry()
  relay!: XdsRelay
  path = ''
  /** Module requests of the relay, and what each comes to. */
  readonly asked: ModuleRequest[] = []
  fetch: (request: ModuleRequest) => Promise<string> = async () => {
    throw new Error('no such host')
  }
  readonly modules: WasmModules = {
    get: async request => {
      this.asked.push(request)
      return await this.fetch(request)
    },
  }
  readonly protocol: RelayProtocol

  constructor(protocol: RelayProtocol) {
    this.protocol = protocol
  }

  async start(
    t: Teardown,
    handlers: Record<string, ResourceHandler> = {},
    more: Partial<Upstream> = {},
  ): Promise<this> {
    lines.length = 0
    const port = await this.plane.listen()
    const folder = mkdtempSync(join(tmpdir(), 'remora-relay-'))
    this.path = join(folder, 'XDS')
    this.relay = new XdsRelay({
      path: this.path,
      upstream: {
        address: 'istiod:15012',
        target: `127.0.0.1:${port}`,
        tls: null,
        headers: [['clusterid', 'c1']],
        keepaliveMs: 30_000,
        keepaliveTimeoutMs: 10_000,
        ...more,
      },
      handlers: new Map(Object.entries(handlers)),
      wasm: this.modules,
      metrics: relayMetrics(this.registry),
    })
    await this.relay.listen()
    t.teardown(() => {
      this.relay.close()
      this.plane.close()
      rmSync(folder, { recursive: true, force: true })
    })
    return this
  }

  proxy(t: Teardown): ProxyStream {
    const proxy = new ProxyStream(this.path, this.protocol.method)
    t.teardown(() => proxy.close())
    return proxy
  }

  /** A proxy that has asked for listeners, and istiod's side of it. */
  async joined(t: Teardown): Promise<[ProxyStream, PlaneStream]> {
    const proxy = this.proxy(t)
    proxy.send(this.request(LISTENER))
    const istiod = await this.plane.stream()
    await istiod.request()
    return [proxy, istiod]
  }

  request(typeUrl: string, version = '', nonce = ''): Buffer {
    return this.protocol.request({ typeUrl, version, nonce }, null)
  }

  read(bytes: Buffer): Decoded {
    const type = this.protocol.isDelta ? 'DeltaDiscoveryRequest' : 'DiscoveryRequest'
    return decodeMessage<Decoded>(`envoy.service.discovery.v3.${type}`, bytes).message
  }

  /** A response with these Any values. */
  response(typeUrl: string, resources: readonly { type_url: string; value: Uint8Array }[], nonce = 'n1'): Uint8Array {
    return this.protocol.isDelta
      ? encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
          system_version_info: 'v7',
          type_url: typeUrl,
          nonce,
          resources: resources.map((resource, i) => ({ name: `r${i}`, version: '1', resource })),
          removed_resources: ['gone'],
        })
      : encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', {
          version_info: 'v7',
          type_url: typeUrl,
          nonce,
          resources,
        })
  }

  async counters(): Promise<string> {
    return await this.registry.metrics()
  }
}

function wasm(
  name: string,
  where: 'http' | 'network',
  config: object,
  code: object,
  vm: object = {},
): { type_url: string; value: Uint8Array } {
  return {
    type_url: ECDS,
    value: encodeMessage('envoy.config.core.v3.TypedExtensionConfig', {
      name,
      typed_config: {
        type_url: `${PREFIX}envoy.extensions.filters.${where}.wasm.v3.Wasm`,
        message: { config: { name, ...config, vm_config: { ...vm, code } } },
      },
    }),
  }
}

/** An unknown field, 1000: what a newer istiod or proxy may send. */
const UNKNOWN = Buffer.from([0xc2, 0x3e, 3, 1, 2, 3])

for (const protocol of [STATE_OF_THE_WORLD, DELTA]) {
  const kind = protocol.isDelta ? 'delta' : 'state of the world'

  t.test(`${kind}: bytes go through as they are, both ways, of any size`, async t => {
    const setup = await new Setup(protocol).start(t)
    const proxy = setup.proxy(t)
    const request = Buffer.concat([setup.request(CLUSTER), UNKNOWN, Buffer.alloc(0)])
    proxy.send(request)
    const istiod = await setup.plane.stream()
    t.same(await istiod.request(), request)
    const big = setup.response(CLUSTER, [{ type_url: CLUSTER, value: Buffer.alloc(20 << 20, 7) }])
    const response = Buffer.concat([big, UNKNOWN])
    istiod.send(response)
    istiod.send(setup.response(`${PREFIX}istio.workload.Workload`, []))
    t.ok((await proxy.response()).equals(response))
    t.equal(protocol.responseHead(await proxy.response()).typeUrl, `${PREFIX}istio.workload.Workload`)
    t.match(await setup.counters(), /pilot_xds_recv_max \d+\n/)
  })

  t.test(`${kind}: the newest stream of the proxy replaces the older`, async t => {
    const setup = await new Setup(protocol).start(t)
    const [first, before] = await setup.joined(t)
    const [second, now] = await setup.joined(t)
    t.match(await first.ended, { code: 0 })
    await before.gone
    now.send(setup.response(LISTENER, []))
    t.equal(protocol.responseHead(await second.response()).typeUrl, LISTENER)
    t.ok(lines.some(line => line.includes('warn\txdsproxy\tregistered overlapping stream; closing previous')))
  })

  t.test(`${kind}: either side's end ends the other with the same meaning`, async t => {
    const setup = await new Setup(protocol).start(t)
    for (const [code, details] of [
      [16, 'token expired'],
      [14, 'draining'],
      [0, ''],
    ] as const) {
      const [proxy, istiod] = await setup.joined(t)
      istiod.end(code, details)
      t.match(await proxy.ended, { code, ...(code === 0 ? {} : { details }) })
    }
    t.ok(
      lines.some(line =>
        line.includes(
          'warn\txdsproxy\tupstream terminated with unexpected error rpc error: code = Unauthenticated desc = token expired',
        ),
      ),
    )
    t.ok(lines.some(line => line.includes('debug\txdsproxy\tupstream terminated with status <nil>')))
    const [proxy, istiod] = await setup.joined(t)
    proxy.close()
    await istiod.gone
    const own = 'istio_agent_envoy_connection_terminations{type="cancelled"} 1'
    const counters = await settled(
      () => setup.counters(),
      text => text.includes(own),
    )
    t.match(counters, 'istio_agent_istiod_connection_terminations{type="error"} 2')
    t.match(counters, 'istio_agent_istiod_connection_terminations{type="cancelled"} 1')
    t.match(counters, own)
  })

  t.test(`${kind}: without istiod, or without usable roots, the proxy is told that there is none`, async t => {
    const dead = await new Setup(protocol).start(t, {}, { target: '127.0.0.1:1' })
    t.match(await dead.proxy(t).ended, { code: 14 })
    t.match(await dead.counters(), 'istio_agent_istiod_connection_terminations{type="error"} 1')
    const tls = { rootPath: '/no/root.pem', serverName: 'istiod', certificate: () => null }
    const rootless = await new Setup(protocol).start(t, {}, { tls })
    t.match(await rootless.proxy(t).ended, { code: 14, details: /no\/root\.pem/ })
    t.match(await rootless.counters(), 'istio_agent_istiod_connection_failures 1')
    t.ok(lines.some(line => line.includes('error\txdsproxy\tfailed to connect to upstream istiod:15012:')))
  })

  t.test(`${kind}: types of the agent end here with ACK or NACK; without a resource with neither`, async t => {
    const seen: string[] = []
    const handler = (bytes: Uint8Array): void => {
      seen.push(Buffer.from(bytes).toString())
      if (seen.length === 2) throw new Error('cannot use this')
    }
    const setup = await new Setup(protocol).start(t, { [OWN]: handler })
    const [proxy, istiod] = await setup.joined(t)
    t.match(setup.read(await istiod.request()), { type_url: OWN, error_detail: undefined, response_nonce: undefined })
    const own = (text: string, type_url = OWN): { type_url: string; value: Buffer } => ({
      type_url,
      value: Buffer.from(text),
    })
    istiod.send(setup.response(OWN, [], 'n0'))
    istiod.send(setup.response(OWN, [own('one')], 'n1'))
    istiod.send(setup.response(OWN, [own('two')], 'n2'))
    istiod.send(setup.response(OWN, [own('three', CLUSTER)], 'n3'))
    const version = protocol.isDelta ? {} : { version_info: 'v7' }
    t.match(setup.read(await istiod.request()), {
      type_url: OWN,
      response_nonce: 'n1',
      error_detail: undefined,
      ...version,
    })
    t.match(setup.read(await istiod.request()), {
      response_nonce: 'n2',
      error_detail: { code: 13, message: 'cannot use this' },
      ...version,
    })
    t.match(setup.read(await istiod.request()).error_detail, { code: 13, message: /mismatched message type: got/ })
    t.same(seen, ['one', 'two'])
    istiod.send(setup.response(`${PREFIX}istio.v1.Other`, [own('x')]))
    istiod.send(setup.response(CLUSTER, []))
    t.equal(protocol.responseHead(await proxy.response()).typeUrl, CLUSTER, 'nothing of it reaches the proxy')
    t.ok(lines.some(line => line.includes(`Skipping forwarding type url ${PREFIX}istio.v1.Other to Envoy`)))
  })

  t.test(
    `${kind}: health is told after the first request for listeners, on every stream, and when it changes`,
    async t => {
      const setup = await new Setup(protocol).start(t)
      const proxy = setup.proxy(t)
      proxy.send(setup.request(CLUSTER))
      const first = await setup.plane.stream()
      await first.request()
      setup.relay.setHealth({ unhealthy: 'port 80 is closed' })
      proxy.send(setup.request(LISTENER))
      t.equal(setup.read(await first.request()).type_url, LISTENER)
      const sick = { type_url: HEALTH, error_detail: { code: 13, message: 'port 80 is closed' } }
      t.match(setup.read(await first.request()), sick)
      setup.relay.setHealth({ unhealthy: '' })
      t.match(setup.read(await first.request()), { type_url: HEALTH, error_detail: undefined })
      const [, second] = await setup.joined(t)
      t.match(setup.read(await second.request()), { type_url: HEALTH, error_detail: undefined })
    },
  )

  t.test(
    `${kind}: a Wasm module that cannot be fetched becomes RBAC; what is not to be fetched stays byte for byte`,
    async t => {
      const setup = await new Setup(protocol).start(t)
      const [proxy, istiod] = await setup.joined(t)
      const remote = { remote: { http_uri: { uri: 'oci://x/y', cluster: '_', timeout: 1000 }, sha256: 'nil' } }
      const local = { local: { filename: '/var/lib/x.wasm' } }
      // Written as JSON, as EnvoyFilter users do.
      const typed = {
        type_url: ECDS,
        value: encodeMessage('envoy.config.core.v3.TypedExtensionConfig', {
          name: 'typed',
          typed_config: {
            type_url: `${PREFIX}envoy.extensions.filters.http.wasm.v3.Wasm`,
            struct: {
              type_url: `${PREFIX}udpa.type.v1.TypedStruct`,
              value: { config: { fail_open: true, vm_config: { code: { remote: { sha256: 'nil' } } } } },
            },
          },
        }),
      }
      const plain = {
        type_url: ECDS,
        value: encodeMessage('envoy.config.core.v3.TypedExtensionConfig', {
          name: 'cors',
          typed_config: { type_url: `${PREFIX}envoy.extensions.filters.http.cors.v3.Cors`, message: {} },
        }),
      }
      const untouched = Buffer.concat([setup.response(ECDS, [wasm('file', 'http', {}, local), plain]), UNKNOWN])
      istiod.send(untouched)
      t.same(await proxy.response(), untouched)

      istiod.send(
        setup.response(ECDS, [
          wasm('closed', 'http', {}, remote),
          wasm('open', 'http', { fail_open: true }, remote),
          wasm('policy', 'network', { failure_policy: 'FAIL_OPEN' }, remote),
          wasm('reload', 'network', { failure_policy: 'FAIL_RELOAD', fail_open: true }, remote),
          plain,
          typed,
        ]),
      )
      const type = protocol.isDelta ? 'DeltaDiscoveryResponse' : 'DiscoveryResponse'
      interface Response {
        resources: { resource?: { message: object }; message?: object; name?: string }[]
        removed_resources?: string[]
      }
      const got = decodeMessage<Response>(`envoy.service.discovery.v3.${type}`, await proxy.response()).message
      const prefix = (name: string): string => `${PREFIX}envoy.extensions.filters.${name}.rbac.v3.RBAC`
      t.match(
        got.resources.map(r => r.resource?.message ?? r.message),
        [
          {
            name: 'closed',
            typed_config: { type_url: prefix('http'), message: { rules: {}, rules_stat_prefix: 'wasm-default-deny' } },
          },
          { name: 'open', typed_config: { message: { rules: undefined, rules_stat_prefix: 'wasm-default-allow' } } },
          {
            name: 'policy',
            typed_config: {
              type_url: prefix('network'),
              message: { rules: undefined, stat_prefix: 'wasm-default-allow' },
            },
          },
          { name: 'reload', typed_config: { message: { rules: {}, stat_prefix: 'wasm-default-deny' } } },
          { name: 'cors' },
          {
            name: 'typed',
            typed_config: { type_url: prefix('http'), message: { rules_stat_prefix: 'wasm-default-allow' } },
          },
        ],
      )
      if (protocol.isDelta) {
        t.same(
          got.resources.map(r => r.name),
          ['r0', 'r1', 'r2', 'r3', 'r4', 'r5'],
        )
        t.same(got.removed_resources, ['gone'])
      }
      t.ok(
        lines.some(line =>
          /error\twasm\terror in converting the wasm config to local: .*applying deny RBAC/.test(line),
        ),
      )

      proxy.send(setup.request(ECDS, 'v6', 'n1'))
      await istiod.request()
      istiod.send(setup.response(ECDS, [{ type_url: ECDS, value: Buffer.from([0x0a, 0x7f]) }], 'n9'))
      const nack = setup.read(await istiod.request())
      t.match(nack, { type_url: ECDS, response_nonce: 'n9', error_detail: { code: 13 } })
      if (!protocol.isDelta) t.equal(nack.version_info, 'v6', 'the version accepted last')
      t.match(await setup.counters(), 'istio_agent_wasm_config_conversion_count{result="unmarshal_failure"} 1')
      t.match(await setup.counters(), 'istio_agent_wasm_config_conversion_duration_count 3', 'every response of ECDS')
    },
  )

  t.test(`${kind}: nothing is fetched for a proxy that names its extensions and has none for Wasm`, async t => {
    const setup = await new Setup(protocol).start(t)
    setup.fetch = async () => '/data/a.wasm'
    const code = { remote: { http_uri: { uri: 'http://x/a', cluster: '_' }, sha256: 'nil' } }
    for (const [names, fetched] of [
      ['envoy.filters.http.router', 0],
      ['envoy.filters.http.router, envoy.filters.http.wasm', 1],
      ['', 2],
    ] as const) {
      const proxy = setup.proxy(t)
      // Where they stand in the node does not matter here.
      proxy.send(setup.request(LISTENER, '', names))
      const istiod = await setup.plane.stream()
      await istiod.request()
      proxy.send(protocol.request({ typeUrl: LISTENER, version: '', nonce: 'n' }, 'no envoy.filters.http.other here'))
      await istiod.request()
      istiod.send(setup.response(ECDS, [wasm('a', 'http', { fail_open: true }, code)]))
      await proxy.response()
      t.equal(setup.asked.length, fetched, names)
    }
  })

  t.test(`${kind}: a fetched Wasm module is told to the proxy as a file; the rest of its resource stays`, async t => {
    const setup = await new Setup(protocol).start(t)
    setup.fetch = async ({ url }) => `/data/${url.slice(-1)}.wasm`
    const [proxy, istiod] = await setup.joined(t)
    const remote = (uri: string, timeout?: number, sha256 = 'nil'): object => ({
      remote: { http_uri: { uri, cluster: '_', ...(timeout === undefined ? {} : { timeout }) }, sha256 },
    })
    const configuration = { type_url: `${PREFIX}google.protobuf.StringValue`, message: { value: '{"a":1}' } }
    const key_values = {
      ISTIO_META_WASM_IMAGE_PULL_SECRET: 'secret',
      ISTIO_META_WASM_IMAGE_PULL_POLICY: 'Always',
      ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION: '7',
      MINE: 'x',
    }
    const internal = { environment_variables: { key_values: { ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION: '8' } } }
    const missing = { environment_variables: { key_values: { ISTIO_META_WASM_IMAGE_PULL_SECRET: '' } } }
    const newer = wasm('b', 'network', {}, remote('http://x/b', undefined, 'abc'), internal)
    istiod.send(
      setup.response(ECDS, [
        wasm('a', 'http', { root_id: 'r', configuration, fail_open: true }, remote('oci://x/y:a', 30_000), {
          vm_id: 'v',
          runtime: 'envoy.wasm.runtime.v8',
          environment_variables: { host_env_keys: ['HOME'], key_values },
        }),
        { ...newer, value: Buffer.concat([newer.value, UNKNOWN]) },
        wasm('c', 'http', {}, remote('oci://x/y:c'), missing),
      ]),
    )
    const type = protocol.isDelta ? 'DeltaDiscoveryResponse' : 'DiscoveryResponse'
    interface Response {
      resources: { resource?: { message: object }; message?: object }[]
    }
    const response = await proxy.response()
    t.ok(response.includes(UNKNOWN), 'what only a newer proxy understands')
    const got = decodeMessage<Response>(`envoy.service.discovery.v3.${type}`, response).message
    const messages = got.resources.map(r => r.resource?.message ?? r.message) as {
      typed_config: { message: { config: { vm_config: { environment_variables?: object } } } }
    }[]
    t.match(messages, [
      {
        name: 'a',
        typed_config: {
          type_url: `${PREFIX}envoy.extensions.filters.http.wasm.v3.Wasm`,
          message: {
            config: {
              name: 'a',
              root_id: 'r',
              fail_open: true,
              configuration: { message: { value: '{"a":1}' } },
              vm_config: {
                vm_id: 'v',
                runtime: 'envoy.wasm.runtime.v8',
                code: { local: { filename: '/data/a.wasm' } },
                environment_variables: { host_env_keys: ['HOME'] },
              },
            },
          },
        },
      },
      {
        name: 'b',
        typed_config: {
          type_url: `${PREFIX}envoy.extensions.filters.network.wasm.v3.Wasm`,
          message: { config: { vm_config: { code: { local: { filename: '/data/b.wasm' } } } } },
        },
      },
      { name: 'c', typed_config: { message: { rules_stat_prefix: 'wasm-default-deny' } } },
    ])
    const vm = (i: number) => messages[i]?.typed_config.message.config.vm_config
    t.match(vm(0)?.environment_variables, { key_values: { MINE: 'x' } })
    t.notMatch(JSON.stringify(messages), 'ISTIO_META', 'what is for the agent stays with it')
    t.notOk(vm(1)?.environment_variables)
    t.match(setup.asked, [
      {
        url: 'oci://x/y:a',
        checksum: '',
        resourceName: 'a',
        resourceVersion: '7',
        timeoutMs: 30_000,
        pullSecret: 'secret',
        pullPolicy: 'Always',
      },
      { url: 'http://x/b', checksum: 'abc', resourceVersion: '8', timeoutMs: 5000, pullSecret: null, pullPolicy: '' },
    ])
    t.equal(setup.asked.length, 2, 'nothing is asked for without its secret')
    t.match(await setup.counters(), 'istio_agent_wasm_config_conversion_count{result="success"} 2')
  })

  t.test(`${kind}: while a module is fetched other types go on, and later extensions wait their turn`, async t => {
    const setup = await new Setup(protocol).start(t)
    const slow = Promise.withResolvers<string>()
    setup.fetch = ({ url }) => (url.endsWith('slow') ? slow.promise : Promise.resolve('/data/fast.wasm'))
    const [proxy, istiod] = await setup.joined(t)
    const code = (uri: string): object => ({ remote: { http_uri: { uri, cluster: '_', timeout: 1000 } } })
    istiod.send(setup.response(ECDS, [wasm('s', 'http', {}, code('http://x/slow'))], 'n1'))
    istiod.send(setup.response(ECDS, [wasm('f', 'http', {}, code('http://x/fast'))], 'n2'))
    istiod.send(setup.response(ECDS, [wasm('l', 'http', {}, { local: { filename: '/x' } })], 'n3'))
    istiod.send(setup.response(CLUSTER, [], 'n4'))
    t.equal(protocol.responseHead(await proxy.response()).nonce, 'n4')
    slow.resolve('/data/slow.wasm')
    for (const nonce of ['n1', 'n2', 'n3']) t.equal(protocol.responseHead(await proxy.response()).nonce, nonce)
    const local = setup.response(ECDS, [wasm('l', 'http', {}, { local: { filename: '/x' } })], 'n5')
    istiod.send(local)
    t.same(await proxy.response(), Buffer.from(local))
  })

  t.test(`${kind}: malformed bytes of either side end both`, async t => {
    const setup = await new Setup(protocol).start(t)
    const [proxy, istiod] = await setup.joined(t)
    istiod.send(Buffer.from([0x22, 0x7f]))
    t.match(await proxy.ended, { code: 13, details: /malformed message/ })
    await istiod.gone
    const [second, other] = await setup.joined(t)
    second.send(Buffer.from([0x22, 0x7f]))
    t.match(await second.ended, { code: 13, details: /malformed message/ })
    await other.gone
  })
}
