import type { DeltaResource } from './control-plane.ts'
import { ads } from './resources.ts'
import type { Step } from './scenarios.ts'

const PORT = 26470
const PREFIX = 'type.googleapis.com/envoy.extensions.filters'
const FAULT = `${PREFIX}.http.fault.v3.HTTPFault`
const CORS = `${PREFIX}.http.cors.v3.Cors`
const ROUTER = `${PREFIX}.http.router.v3.Router`
const HCM = `${PREFIX}.network.http_connection_manager.v3.HttpConnectionManager`
const DIRECT = `${PREFIX}.network.direct_response.v3.Config`
const impatient = { ...ads, initial_fetch_timeout: '0.25s' }

const router = { name: 'router', typed_config: { '@type': ROUTER } }
const abort = (status: number): object => ({
  '@type': FAULT,
  abort: { http_status: status, percentage: { numerator: 100 } },
})
const direct = (text: string): object => ({ '@type': DIRECT, response: { inline_string: text } })

/** What a filter of a chain that is to be discovered has instead of its configuration. */
const discovered = (name: string, types: readonly string[], more: object = {}): object => ({
  name,
  config_discovery: { config_source: ads, type_urls: types, ...more },
})

function manager(filters: readonly object[]): object {
  const reply = { status: 200, body: { inline_string: 'hello' } }
  return {
    '@type': HCM,
    stat_prefix: 'in',
    route_config: {
      name: 'r',
      virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: reply }] }],
    },
    http_filters: filters,
    local_reply_config: {
      body_format: { text_format_source: { inline_string: '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%' } },
    },
  }
}

function listener(name: string, port: number, filters: readonly object[], version = '1'): DeltaResource {
  const message = {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters }],
  }
  return { name, version, message }
}

const http = (name: string, port: number, filters: readonly object[], version = '1'): DeltaResource =>
  listener(name, port, [{ name: 'hcm', typed_config: manager(filters) }], version)

const extension = (name: string, version: string, config: object): DeltaResource => ({
  name,
  version,
  message: { name, typed_config: config },
})

const begin: readonly Step[] = [
  { name: 'connect', run: () => {} },
  { name: 'no clusters', run: p => p.delta('CDS', 's1', []) },
]

/** Filters whose configuration is discovered (ECDS), over incremental ADS. */
export const ECDS_SCENARIOS: Readonly<Record<string, readonly Step[]>> = {
  'a filter of requests': [
    ...begin,
    {
      name: 'a listener waits for it',
      run: p => p.delta('LDS', 's2', [http('l', PORT, [discovered('f', [FAULT]), router])]),
    },
    {
      name: 'it comes',
      run: p => p.delta('ECDS', 's3', [extension('f', '1', abort(418))]),
      visit: { port: PORT, tls: false },
    },
    {
      name: 'it changes',
      run: p => p.delta('ECDS', 's4', [extension('f', '2', abort(417))]),
      visit: { port: PORT, tls: false },
    },
    { name: 'the same under another version', run: p => p.delta('ECDS', 's5', [extension('f', '3', abort(417))]) },
    {
      name: 'of a type that is not allowed',
      run: p => p.delta('ECDS', 's6', [extension('f', '4', { '@type': CORS })]),
    },
    {
      name: 'it breaks a rule',
      run: p => p.delta('ECDS', 's7', [extension('f', '5', { '@type': FAULT, abort: { http_status: 9 } })]),
    },
    {
      name: 'unknown type',
      run: p => p.delta('ECDS', 's7b', [extension('f', '5', { '@type': 'type.googleapis.com/google.protobuf.Empty' })]),
    },
    {
      name: 'another name inside',
      run: p => p.delta('ECDS', 's8', [{ name: 'f', version: '6', message: { name: 'g', typed_config: abort(400) } }]),
      visit: { port: PORT, tls: false },
    },
    { name: 'it is removed', run: p => p.delta('ECDS', 's9', [], ['f']), visit: { port: PORT, tls: false } },
    {
      name: 'it comes again',
      run: p => p.delta('ECDS', 's10', [extension('f', '7', abort(416))]),
      visit: { port: PORT, tls: false },
    },
    {
      name: 'a second listener has it at once',
      run: p => p.delta('LDS', 's11', [http('m', PORT + 1, [discovered('f', [FAULT]), router])]),
      visit: { port: PORT + 1, tls: false },
    },
    {
      name: 'a third does not allow its type',
      run: p => p.delta('LDS', 's12', [http('n', PORT + 2, [discovered('f', [CORS]), router])]),
      visit: { port: PORT + 2, tls: false },
    },
    {
      name: 'listeners go',
      run: p => p.delta('LDS', 's13', [], ['m', 'n']),
    },
    { name: 'the stream breaks', run: p => p.disconnect() },
  ],
  'defaults and silence': [
    ...begin,
    {
      name: 'it never comes',
      run: p =>
        p.delta('LDS', 's2', [http('l', PORT, [discovered('f', [FAULT], { config_source: impatient }), router])]),
      visit: { port: PORT, tls: false },
    },
    {
      name: 'it never comes, there is a default',
      run: p =>
        p.delta('LDS', 's3', [
          http('m', PORT + 1, [
            discovered('g', [FAULT], { config_source: impatient, default_config: abort(417) }),
            router,
          ]),
        ]),
      visit: { port: PORT + 1, tls: false },
    },
    {
      name: 'a default that is not waited with',
      run: p =>
        p.delta('LDS', 's4', [
          http('n', PORT + 2, [
            discovered('h', [FAULT], { default_config: abort(416), apply_default_config_without_warming: true }),
            router,
          ]),
        ]),
      visit: { port: PORT + 2, tls: false },
    },
    {
      name: 'it comes after all',
      run: p => p.delta('ECDS', 's5', [extension('h', '1', abort(415)), extension('f', '1', abort(414))]),
      visit: { port: PORT + 2, tls: false },
    },
    { name: 'to the other, too', run: () => {}, visit: { port: PORT, tls: false } },
    {
      name: 'it is removed: the default again',
      run: p => p.delta('ECDS', 's6', [], ['h']),
      visit: { port: PORT + 2, tls: false },
    },
    {
      name: 'a default of a type that is not allowed',
      run: p =>
        p.delta('LDS', 's7', [http('o', PORT + 3, [discovered('i', [CORS], { default_config: abort(416) }), router])]),
    },
    {
      name: 'no type at all, beside a listener without fault',
      run: p =>
        p.delta('LDS', 's8', [http('o', PORT + 3, [discovered('i', []), router]), http('good', PORT + 4, [router])]),
    },
    {
      name: 'a type that nobody knows',
      run: p =>
        p.delta('LDS', 's9', [http('o', PORT + 3, [discovered('i', ['type.googleapis.com/nope.Nope']), router])]),
    },
    {
      name: 'without warming but without a default',
      run: p =>
        p.delta('LDS', 's10', [
          http('o', PORT + 3, [discovered('i', [FAULT], { apply_default_config_without_warming: true }), router]),
        ]),
    },
  ],
  'the last filter': [
    ...begin,
    {
      name: 'a discovered router',
      run: p => p.delta('LDS', 's2', [http('l', PORT, [discovered('f', [FAULT]), discovered('last', [ROUTER, CORS])])]),
    },
    {
      name: 'it is no router',
      run: p => p.delta('ECDS', 's3', [extension('last', '1', { '@type': CORS })]),
    },
    {
      name: 'it is one',
      run: p => p.delta('ECDS', 's4', [extension('last', '2', { '@type': ROUTER }), extension('f', '1', abort(418))]),
      visit: { port: PORT, tls: false },
    },
    {
      name: 'a router in the middle',
      run: p => p.delta('LDS', 's5', [http('m', PORT + 1, [discovered('r', [ROUTER, FAULT]), router])]),
    },
    {
      name: 'comes and is refused',
      run: p => p.delta('ECDS', 's6', [extension('r', '1', { '@type': ROUTER })]),
      visit: { port: PORT + 1, tls: false },
    },
  ],
  'a filter of connections': [
    ...begin,
    {
      name: 'a listener waits for it',
      run: p => p.delta('LDS', 's2', [listener('l', PORT, [discovered('n', [DIRECT, HCM])])]),
    },
    {
      name: 'it comes',
      run: p => p.delta('ECDS', 's3', [extension('n', '1', direct('HTTP/1.1 299 x\r\n\r\none'))]),
      visit: { port: PORT, tls: false },
    },
    {
      name: 'it becomes an HTTP connection manager',
      run: p => p.delta('ECDS', 's4', [extension('n', '2', manager([router]))]),
      visit: { port: PORT, tls: false },
    },
    { name: 'it is removed', run: p => p.delta('ECDS', 's5', [], ['n']), visit: { port: PORT, tls: false } },
    {
      name: 'of neither type',
      run: p => p.delta('ECDS', 's6', [extension('n', '3', { '@type': `${PREFIX}.network.echo.v3.Echo` })]),
    },
  ],
}
