import type { ScriptedControlPlane } from './control-plane.ts'
import { assignment, brokenCluster, edsCluster, listener, routes } from './resources.ts'
import type { Step } from './scenarios.ts'

/** Nobody connects to it. */
const PORT = 28490

const own = (grpc: object = { envoy_grpc: { cluster_name: 'xds' } }): object => ({
  resource_api_version: 'V3',
  api_config_source: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [grpc] },
})

/** The bootstrap without ADS: every type is asked for on a stream of its own. */
export function singleBootstrap(made: object): object {
  return { ...made, dynamic_resources: { cds_config: own(), lds_config: own() } }
}

const cluster = (name: string, source: object = own()): object =>
  edsCluster(name, { eds_cluster_config: { eds_config: source } })

/** Asked for by gRPC's own client, without a cluster. */
const google = (plane: ScriptedControlPlane): object =>
  own({ google_grpc: { target_uri: `127.0.0.1:${plane.port}`, stat_prefix: 'google' } })

function oneListener(route: string): object {
  const made = listener('one', PORT, [route]) as {
    filter_chains: { filters: { typed_config: { rds: { config_source: object } } }[] }[]
  }
  made.filter_chains[0]!.filters[0]!.typed_config.rds.config_source = own()
  return made
}

export const SINGLE_SCENARIOS: Readonly<Record<string, readonly Step[]>> = {
  'a stream for each type': [
    { name: 'connect', run: () => {} },
    { name: 'a cluster', run: p => p.send('CDS', 'c1', [cluster('a')], 'StreamClusters') },
    { name: 'its endpoints', run: p => p.send('EDS', 'e1', [assignment('a', 1)], 'StreamEndpoints a') },
    { name: 'a listener', run: p => p.send('LDS', 'l1', [oneListener('r1')], 'StreamListeners') },
    { name: 'its routes', run: p => p.send('RDS', 'r1', [routes('r1', 'a')], 'StreamRoutes r1') },
    { name: 'other routes', run: p => p.send('RDS', 'r2', [routes('r1', 'b')], 'StreamRoutes r1') },
    { name: 'a broken cluster', run: p => p.send('CDS', 'c2', [cluster('a'), brokenCluster('x')], 'StreamClusters') },
    { name: 'a second cluster', run: p => p.send('CDS', 'c3', [cluster('a'), cluster('b')], 'StreamClusters') },
    { name: 'its own endpoints', run: p => p.send('EDS', 'e2', [assignment('b', 2)], 'StreamEndpoints b') },
  ],
  google_grpc: [
    { name: 'connect', run: () => {} },
    { name: 'a cluster', run: p => p.send('CDS', 'c1', [cluster('g', google(p))], 'StreamClusters') },
    { name: 'its endpoints', run: p => p.send('EDS', 'e1', [assignment('g', 1)], 'StreamEndpoints g') },
  ],
}
