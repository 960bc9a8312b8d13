import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { parseRouteConfiguration } from '../../../src/config/route.ts'

function parse(route: envoy.config.route.v3.RouteAction): string[] {
  const warnings: string[] = []
  parseRouteConfiguration(
    {
      name: 'r',
      virtual_hosts: [
        { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'c', ...route } }] },
      ],
    },
    FieldPath.root(),
    { warnings, validateClusters: false, hasCluster: () => true },
  )
  return warnings
}

const tunnel = (connect_config: object) => ({ upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config }] })

t.test('a CONNECT with an empty connect_config is terminated without complaint', t => {
  t.same(parse(tunnel({})), [])
  t.end()
})

t.test('so is a POST where that is allowed; a PROXY header in front of a tunnel is refused', t => {
  t.same(parse(tunnel({ allow_post: true })), [])
  t.throws(() => parse(tunnel({ proxy_protocol_config: { version: 'V2' } })), /connect_config\.proxy_protocol_config/)
  t.end()
})

t.test('flush_timeout of a route has no effect, and says so', t => {
  t.match(parse({ flush_timeout: 1000 }), [/flush_timeout.*no effect/])
  t.end()
})
