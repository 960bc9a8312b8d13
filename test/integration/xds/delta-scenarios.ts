import { type DeltaResource, encode, TYPES } from './control-plane.ts'
import {
  assignment,
  brokenCluster,
  edsCluster,
  impatientCluster,
  listener,
  routes,
  staticCluster,
} from './resources.ts'
import type { Step } from './scenarios.ts'

/** Ports for the listeners of scenarios: nobody connects to them. */
const PORT = 26450

/** A resource under the name in its message. */
function r(message: object, version: string, more: Partial<DeltaResource> = {}): DeltaResource {
  const { name, cluster_name } = message as { name?: string; cluster_name?: string }
  return { name: name ?? cluster_name ?? '', version, message, ...more }
}

const brokenListener = (name: string, port: number): object =>
  listener(name, port, ['r1'], {
    filter_chains: [
      { filters: [{ name: 'nope', typed_config: { '@type': 'type.googleapis.com/google.protobuf.Empty' } }] },
    ],
  })

const doubledRoutes = (name: string): object => ({
  name,
  virtual_hosts: [
    { name: 'x', domains: ['*'] },
    { name: 'y', domains: ['*'] },
  ],
})

const typeUrl = (type: string): string => `type.googleapis.com/${TYPES[type]}`

/** The incremental protocol, step by step, on one stream. Each step is over when the proxy is quiet. */
export const DELTA_SCENARIOS: Readonly<Record<string, readonly Step[]>> = {
  startup: [
    { name: 'connect', run: () => {} },
    {
      name: 'two EDS clusters',
      run: p => p.delta('CDS', 's1', [r(edsCluster('b'), '1'), r(edsCluster('a'), '1')]),
    },
    { name: 'endpoints of one', run: p => p.delta('EDS', 's2', [r(assignment('a', 1), '1')]) },
    { name: 'endpoints of the other', run: p => p.delta('EDS', 's3', [r(assignment('b', 2), '1')]) },
    {
      name: 'a listener with two routes',
      run: p => p.delta('LDS', 's4', [r(listener('one', PORT, ['r2', 'r1']), '1')]),
    },
    { name: 'routes', run: p => p.delta('RDS', 's5', [r(routes('r1', 'a'), '1'), r(routes('r2', 'b'), '2')]) },
    {
      name: 'a cluster changes and nobody sends its endpoints',
      run: p => p.delta('CDS', 's6', [r(edsCluster('b', { connect_timeout: '2s' }), '2')]),
    },
    { name: 'its endpoints come', run: p => p.delta('EDS', 's7', [r(assignment('b', 2), '2')]) },
    {
      name: 'the same cluster again',
      run: p => p.delta('CDS', 's8', [r(edsCluster('b', { connect_timeout: '2s' }), '3')]),
    },
    { name: 'a cluster is added', run: p => p.delta('CDS', 's9', [r(edsCluster('c'), '1')]) },
    { name: 'only its endpoints', run: p => p.delta('EDS', 's10', [r(assignment('c', 3), '1')]) },
    { name: 'a cluster is removed', run: p => p.delta('CDS', 's11', [], ['a']) },
    { name: 'one that is not there is removed', run: p => p.delta('CDS', 's12', [], ['nowhere']) },
    { name: 'nothing', run: p => p.delta('CDS', 's13', []) },
    {
      name: 'the listener changes, its routes do not',
      run: p =>
        p.delta('LDS', 's14', [
          r(listener('one', PORT, ['r2', 'r1'], { per_connection_buffer_limit_bytes: 1000 }), '2'),
        ]),
    },
    {
      name: 'a second listener, one new route',
      run: p => p.delta('LDS', 's15', [r(listener('two', PORT + 1, ['r3']), '1')]),
    },
    { name: 'the new route only', run: p => p.delta('RDS', 's16', [r(routes('r3', 'c'), '1')]) },
    { name: 'a route changes', run: p => p.delta('RDS', 's17', [r(routes('r3', 'b'), '2')]) },
    { name: 'the same route under another version', run: p => p.delta('RDS', 's18', [r(routes('r3', 'b'), '3')]) },
    { name: 'a route is removed', run: p => p.delta('RDS', 's19', [], ['r3']) },
    { name: 'the first listener goes', run: p => p.delta('LDS', 's20', [], ['one']) },
    { name: 'endpoints nobody asked for', run: p => p.delta('EDS', 's21', [r(assignment('zz', 9), '1')]) },
    { name: 'no endpoints at all', run: p => p.delta('EDS', 's22', []) },
    { name: 'endpoints are removed', run: p => p.delta('EDS', 's23', [], ['c']) },
    { name: 'and there again', run: p => p.delta('EDS', 's24', [r(assignment('c', 4), '2')]) },
    {
      name: 'resources of a type nobody follows',
      run: p => p.deltaRaw('type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig', 's25', []),
    },
    { name: 'the stream breaks', run: p => p.disconnect() },
    { name: 'only what changed meanwhile', run: p => p.delta('CDS', 's26', [r(edsCluster('d'), '1')], ['c']) },
    { name: 'its endpoints', run: p => p.delta('EDS', 's27', [r(assignment('d', 4), '1')]) },
    { name: 'no listeners', run: p => p.delta('LDS', 's28', [], ['two']) },
    { name: 'no clusters', run: p => p.delta('CDS', 's29', [], ['b', 'd']) },
  ],
  silence: [
    { name: 'connect', run: () => {} },
    { name: 'endpoints never come', run: p => p.delta('CDS', 's1', [r(impatientCluster('a', '1s'), '1')]) },
    { name: 'it changes and they never come', run: p => p.delta('CDS', 's2', [r(impatientCluster('a', '2s'), '2')]) },
    { name: 'they do after all', run: p => p.delta('EDS', 's3', [r(assignment('a', 1), '1')]) },
    {
      name: 'it changes again and nothing comes',
      run: p => p.delta('CDS', 's4', [r(impatientCluster('a', '3s'), '3')]),
    },
    {
      name: 'it changes twice',
      run: p => {
        p.delta('CDS', 's5', [r(impatientCluster('a', '4s'), '4')])
        p.delta('CDS', 's6', [r(impatientCluster('a', '5s'), '5')])
      },
    },
  ],
  'coming and going': [
    { name: 'connect', run: () => {} },
    {
      name: 'the only cluster goes while it warms',
      run: p => {
        p.delta('CDS', 's7', [r(impatientCluster('a', '6s'), '6')])
        p.delta('CDS', 's8', [], ['a'])
      },
    },
    {
      name: 'it comes, goes and comes',
      run: p => {
        p.delta('CDS', 's9', [r(impatientCluster('a', '7s'), '7')])
        p.delta('CDS', 's10', [], ['a'])
        p.delta('CDS', 's11', [r(impatientCluster('a', '8s'), '8')])
      },
    },
  ],
  'cluster rejections': [
    { name: 'connect', run: () => {} },
    {
      name: 'a good and a bad one (factory)',
      run: p =>
        p.delta('CDS', 's1', [
          r(staticCluster('good'), '1'),
          r(brokenCluster('bad'), '1'),
          r(staticCluster('late'), '1'),
        ]),
    },
    {
      name: 'a good one becomes bad, another comes',
      run: p => p.delta('CDS', 's2', [r(brokenCluster('late'), '2'), r(staticCluster('more'), '2')]),
    },
    { name: 'a bad one and a removal', run: p => p.delta('CDS', 's3', [r(brokenCluster('bad'), '3')], ['more']) },
    {
      name: 'a good and one that breaks a rule',
      run: p =>
        p.delta('CDS', 's4', [
          r(staticCluster('good4'), '4'),
          r({ ...staticCluster('short'), connect_timeout: '0s' }, '4'),
        ]),
    },
    {
      name: 'a name twice',
      run: p => p.delta('CDS', 's5', [r(staticCluster('twice'), '5'), r(staticCluster('twice'), '5')]),
    },
    { name: 'added and removed at once', run: p => p.delta('CDS', 's6', [r(staticCluster('both'), '6')], ['both']) },
    { name: 'removed twice', run: p => p.delta('CDS', 's6b', [], ['late', 'late']) },
    { name: 'no name', run: p => p.delta('CDS', 's7', [r(staticCluster(''), '7')]) },
    {
      name: 'two names: of the wrapper and of the message',
      run: p => p.delta('CDS', 's8', [{ name: 'outer', version: '8', message: staticCluster('inner') }]),
    },
    {
      name: 'another type in the list',
      run: p =>
        p.deltaRaw(typeUrl('CDS'), 's9', [
          {
            name: 'x',
            version: '9',
            resource: { type_url: typeUrl('LDS'), value: encode(TYPES['LDS']!, listener('x', PORT, ['r'])) },
          },
        ]),
    },
    { name: 'no body', run: p => p.delta('CDS', 's10', [{ name: 'hollow', version: '10' }]) },
    {
      name: 'bytes that are no message',
      run: p =>
        p.deltaRaw(typeUrl('CDS'), 's11', [
          {
            name: 'torn',
            version: '11',
            resource: { type_url: typeUrl('CDS'), value: Buffer.from([0x0a, 0x7f, 0x01]) },
          },
        ]),
    },
    {
      name: 'an unknown field',
      run: p =>
        p.deltaRaw(typeUrl('CDS'), 's12', [
          {
            name: 'unknown',
            version: '12',
            resource: {
              type_url: typeUrl('CDS'),
              value: Buffer.concat([
                encode(TYPES['CDS']!, staticCluster('unknown')),
                Buffer.from([0xfa, 0xff, 0x3f, 1, 0x41]),
              ]),
            },
          },
        ]),
    },
    { name: 'the name of a static cluster', run: p => p.delta('CDS', 's13', [r(staticCluster('xds'), '13')]) },
    { name: 'a static cluster is removed', run: p => p.delta('CDS', 's14', [], ['xds']) },
    { name: 'the good one again', run: p => p.delta('CDS', 's15', [r(staticCluster('good'), '15')]) },
    { name: 'the stream breaks', run: p => p.disconnect() },
  ],
  'time to live': [
    { name: 'connect', run: () => {} },
    {
      name: 'a cluster for a while, another for ever',
      run: p => p.delta('CDS', 's1', [r(staticCluster('a'), '1', { ttl: 700 }), r(staticCluster('b'), '1')]),
    },
    { name: 'no listeners', run: p => p.delta('LDS', 's2', []) },
    { name: 'it comes again', run: p => p.delta('CDS', 's3', [r(staticCluster('a'), '1', { ttl: 60_000 })]) },
    { name: 'a heartbeat', run: p => p.delta('CDS', 's4', [{ name: 'a', version: '1', ttl: 60_000 }]) },
    {
      name: 'a heartbeat of another version',
      run: p => p.delta('CDS', 's5', [{ name: 'a', version: '2', ttl: 60_000 }]),
    },
    { name: 'a heartbeat without time to live', run: p => p.delta('CDS', 's6', [{ name: 'a', version: '1' }]) },
    { name: 'an alias with a body', run: p => p.delta('CDS', 's8', [r(staticCluster('c'), '1', { aliases: ['y'] })]) },
    { name: 'the heartbeat stops', run: p => p.delta('CDS', 's9', [{ name: 'a', version: '1', ttl: 500 }]) },
    { name: 'the stream breaks', run: p => p.disconnect() },
  ],
  'listener and route rejections': [
    { name: 'connect', run: () => {} },
    { name: 'two EDS clusters', run: p => p.delta('CDS', 's1', [r(edsCluster('a'), '1'), r(edsCluster('b'), '1')]) },
    {
      name: 'endpoints: one breaks a rule',
      run: p =>
        p.delta('EDS', 's2', [
          r(assignment('a', 1), '1'),
          r({ cluster_name: 'b', endpoints: [{ priority: 200 }] }, '1'),
        ]),
    },
    {
      name: 'endpoints: good',
      run: p => p.delta('EDS', 's3', [r(assignment('a', 1), '2'), r(assignment('b', 2), '2')]),
    },
    {
      name: 'endpoints: another name inside',
      run: p => p.delta('EDS', 's4', [{ name: 'a', version: '3', message: assignment('zz', 3) }]),
    },
    {
      name: 'listeners: good and bad (factory)',
      run: p =>
        p.delta('LDS', 's5', [
          r(listener('good', PORT, ['r1']), '1'),
          r(brokenListener('bad', PORT + 1), '1'),
          r(listener('late', PORT + 2, ['r2']), '1'),
        ]),
    },
    { name: 'a good listener becomes bad', run: p => p.delta('LDS', 's6', [r(brokenListener('late', PORT + 2), '2')]) },
    {
      name: 'a bad one and a removal',
      run: p => p.delta('LDS', 's7', [r(brokenListener('bad', PORT + 1), '3')], ['late']),
    },
    {
      name: 'listeners: one breaks a rule',
      run: p =>
        p.delta('LDS', 's8', [
          r(listener('late', PORT + 2, ['r2']), '4'),
          r(listener('rule', PORT + 1, ['r1'], { filter_chains: [{ filters: [{}] }] }), '4'),
        ]),
    },
    {
      name: 'one address twice',
      run: p => p.delta('LDS', 's9', [r(listener('same', PORT, ['r1']), '5')]),
    },
    {
      name: 'an address moves',
      run: p => p.delta('LDS', 's10', [r(listener('moved', PORT, ['r1']), '6')], ['good']),
    },
    {
      name: 'routes: one good, one with a doubled domain',
      run: p => p.delta('RDS', 's11', [r(routes('r1', 'a'), '1'), r(doubledRoutes('r2'), '1')]),
    },
    { name: 'routes: only a bad one', run: p => p.delta('RDS', 's12', [r(doubledRoutes('r1'), '2')]) },
    {
      name: 'routes: one breaks a rule',
      run: p => p.delta('RDS', 's13', [r({ name: 'r1', virtual_hosts: [{ name: 'x' }] }, '3')]),
    },
    { name: 'routes: good', run: p => p.delta('RDS', 's14', [r(routes('r1', 'b'), '4')]) },
    { name: 'the stream breaks', run: p => p.disconnect() },
  ],
}
