import { bootstrap, cluster, httpListener } from '../configs/builder.ts'
import { admin, type Group, get, type Step, scenario } from '../scenario.ts'

/** A layer of the runtime that is discovered, here from a file. */
const TYPE = 'type.googleapis.com/envoy.service.runtime.v3.Runtime'
const layer = (name: string, values: object): object => ({ '@type': TYPE, name, layer: values })
const response = (version: string, ...resources: object[]): object => ({ version_info: version, resources })
const write = (content: object): Step => ({ kind: 'file', name: 'rtds.json', content })
const until = (stat: string, value: number): Step => ({ kind: 'until', stat: `runtime.${stat}`, value })
const shown = admin('/runtime', { as: 'json' })
const STATS = {
  stats: ['^runtime\\.(update_(attempt|success|rejected|failure)|load_(success|error)|num_|admin|override_dir)'],
}

const group: Group = {
  name: 'rtds',
  upstreams: { a: { kind: 'http1' }, b: { kind: 'http1' } },
  files: { 'rtds.json': response('1', layer('some', { way: 100, deep: { er: { key: 'text', flag: true } } })) },
  config: bootstrap(
    [
      httpListener('main', {
        routes: `
- match: {prefix: /, runtime_fraction: {default_value: {numerator: 0}, runtime_key: way}}
  route: {cluster: a}
- match: {prefix: /}
  route: {cluster: b}
`,
      }),
    ],
    [cluster('a', 'a'), cluster('b', 'b')],
    `
layered_runtime:
  layers:
  - {name: fixed, static_layer: {way: 0, mine: 7}}
  - {name: found, rtds_layer: {name: some, rtds_config: {path_config_source: {path: $tmp/rtds.json}, resource_api_version: V3}}}
  - {name: admin, admin_layer: {}}
`,
  ),
  scenarios: [
    scenario('first', 'The layer is there before anything is served', [get('/'), shown], [], {
      stats: ['^runtime\\.(load_success|num_|override_dir_not_exists$|update_success$)'],
    }),
    scenario(
      'update',
      'A later version takes the place of the layer',
      [
        write(response('2', layer('some', { way: 0, more: 1.5 }))),
        until('update_success', 2),
        get('/'),
        shown,
        write(response('3', layer('some', {}))),
        until('update_success', 3),
        shown,
      ],
      [],
      STATS,
    ),
    scenario(
      'refused',
      'What is not the layer, alone, is refused',
      [write(response('4')), until('update_rejected', 1), shown],
      [],
      STATS,
    ),
    scenario(
      'over',
      'The admin layer is above it',
      [
        write(response('5', layer('some', { way: 100 }))),
        until('update_success', 4),
        admin('/runtime_modify?way=0', { method: 'POST' }),
        get('/'),
        admin('/runtime_modify?way=', { method: 'POST' }),
        get('/'),
      ],
      [],
      STATS,
    ),
  ],
}

export default group
