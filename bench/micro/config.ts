/** From the text of a configuration to what workers read, per cluster with its virtual host: `node bench/micro/config.ts`. */
import { type PackedList, ValueReader, ValueWriter } from '../../src/base/packed-values.ts'
import { parseCluster } from '../../src/config/cluster.ts'
import { FieldPath } from '../../src/config/field-path.ts'
import type { envoy } from '../../src/config/gen/messages.d.ts'
import { readJson } from '../../src/config/json-reader.ts'
import { parseJsonText } from '../../src/config/json-text.ts'
import { validateMessage } from '../../src/config/validate.ts'
import { parseYaml } from '../../src/config/yaml.ts'
import { registerExtensions } from '../../src/extensions.ts'
import { clusterParser } from '../../src/server/cluster-parser.ts'
import { manyClusters } from '../load/configurations/scale.ts'
import { measure } from './reference.ts'

type Bootstrap = envoy.config.bootstrap.v3.Bootstrap

const CLUSTERS = 500
const TYPE = 'envoy.config.bootstrap.v3.Bootstrap'

registerExtensions()
const yaml = manyClusters(CLUSTERS, 1).envoy({
  listen: 10_000,
  admin: 10_001,
  log: '/dev/null',
  folder: '/tmp',
  workers: 1,
  upstreams: { http1: 1, http2: 2, mutualTls: 3, stub: 4, hold: 5, grpc: 6, tcp: 7, xds: 8, xdsControl: 9 },
  certificates: null,
})
const tree = parseYaml(yaml, 'bench.yaml')
const json = JSON.stringify(tree)
const { message } = readJson<Bootstrap>(TYPE, tree)
const statics = message.static_resources!.clusters!
const at = FieldPath.root()
const parser = clusterParser(() => {})
const configs = statics.map(proto => parseCluster(proto, at, parser))
const packed = new ValueWriter(new Set(['clusters'])).pack({ clusters: configs })

measure('text of YAML to a tree', () => parseYaml(yaml, 'bench.yaml'), CLUSTERS)
measure('text of JSON to a tree', () => parseJsonText(json, TYPE, 'bench.json'), CLUSTERS)
measure('tree to message', () => readJson(TYPE, tree), CLUSTERS)
measure('rules of the descriptors', () => validateMessage(TYPE, message), CLUSTERS)
measure(
  'message to parsed cluster',
  () => {
    for (const proto of statics) parseCluster(proto, at, parser)
  },
  CLUSTERS,
)
measure(
  'parsed clusters to shared bytes',
  () => new ValueWriter(new Set(['clusters'])).pack({ clusters: configs }),
  CLUSTERS,
)
measure(
  'shared bytes to a cluster, on the worker that needs it',
  () => {
    const { clusters } = new ValueReader(packed).root() as { clusters: PackedList<object> }
    for (let i = 0; i < clusters.length; i++) clusters.get(i)
  },
  CLUSTERS,
)
