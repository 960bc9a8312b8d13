import type { ScriptedControlPlane } from './control-plane.ts'
import { encode, TYPES } from './control-plane.ts'
import {
  assignment,
  brokenCluster,
  edsCluster,
  impatientCluster,
  listener,
  routes,
  staticCluster,
} from './resources.ts'

/** Ports for the listeners of scenarios: nobody connects to them. */
const PORT = 28450

export interface Step {
  readonly name: string
  /** How many requests the real Envoy answers with; the record is what really came. */
  run(plane: ScriptedControlPlane): void
  /** Then a client comes to this port, with this certificate of the harness. */
  readonly visit?: {
    readonly port: number
    readonly tls: boolean
    readonly certificate?: string
    readonly path?: string
  }
}

/** What is sent, step by step, on one stream. Each step is over when the proxy is quiet. */
export const SCENARIOS: Readonly<Record<string, readonly Step[]>> = {
  startup: [
    { name: 'connect', run: () => {} },
    { name: 'two EDS clusters', run: p => p.send('CDS', 'c1', [edsCluster('b'), edsCluster('a')]) },
    { name: 'their endpoints', run: p => p.send('EDS', 'e1', [assignment('a', 1), assignment('b', 2)]) },
    { name: 'a listener with two routes', run: p => p.send('LDS', 'l1', [listener('one', PORT, ['r2', 'r1'])]) },
    { name: 'routes', run: p => p.send('RDS', 'r1', [routes('r1', 'a'), routes('r2', 'b')]) },
    {
      name: 'a cluster changes',
      run: p => p.send('CDS', 'c2', [edsCluster('b', { connect_timeout: '2s' }), edsCluster('a')]),
    },
    { name: 'its endpoints come again', run: p => p.send('EDS', 'e1', [assignment('a', 1), assignment('b', 2)]) },
    {
      name: 'a cluster is added',
      run: p => p.send('CDS', 'c3', [edsCluster('b', { connect_timeout: '2s' }), edsCluster('a'), edsCluster('c')]),
    },
    { name: 'only its endpoints', run: p => p.send('EDS', 'e2', [assignment('c', 3)]) },
    {
      name: 'a cluster is removed',
      run: p => p.send('CDS', 'c4', [edsCluster('b', { connect_timeout: '2s' }), edsCluster('c')]),
    },
    {
      name: 'the listener changes, its routes do not',
      run: p => p.send('LDS', 'l2', [listener('one', PORT, ['r2', 'r1'], { per_connection_buffer_limit_bytes: 1000 })]),
    },
    {
      name: 'a second listener, one new route',
      run: p =>
        p.send('LDS', 'l3', [
          listener('one', PORT, ['r2', 'r1'], { per_connection_buffer_limit_bytes: 1000 }),
          listener('two', PORT + 1, ['r3']),
        ]),
    },
    { name: 'the new route only', run: p => p.send('RDS', 'r2', [routes('r3', 'c')]) },
    { name: 'the first listener goes', run: p => p.send('LDS', 'l4', [listener('two', PORT + 1, ['r3'])]) },
    { name: 'endpoints nobody asked for', run: p => p.send('EDS', 'e3', [assignment('zz', 9)]) },
    { name: 'no endpoints at all', run: p => p.send('EDS', 'e4', []) },
    { name: 'the stream breaks', run: p => p.disconnect() },
    {
      name: 'the same clusters again',
      run: p => p.send('CDS', 'c4', [edsCluster('b', { connect_timeout: '2s' }), edsCluster('c')]),
    },
    { name: 'no listeners', run: p => p.send('LDS', 'l5', []) },
    { name: 'no clusters', run: p => p.send('CDS', 'c5', []) },
  ],
  silence: [
    { name: 'connect', run: () => {} },
    { name: 'endpoints never come', run: p => p.send('CDS', 'c1', [impatientCluster('a', '1s')]) },
    {
      name: 'a cluster changes, its endpoints never come',
      run: p => p.send('CDS', 'c2', [impatientCluster('a', '2s')]),
    },
    { name: 'they do after all', run: p => p.send('EDS', 'e1', [assignment('a', 1)]) },
    { name: 'it changes again and nothing comes', run: p => p.send('CDS', 'c3', [impatientCluster('a', '3s')]) },
    {
      name: 'it changes twice',
      run: p => {
        p.send('CDS', 'c4', [impatientCluster('a', '4s')])
        p.send('CDS', 'c5', [impatientCluster('a', '5s')])
      },
    },
    {
      name: 'it goes while it warms',
      run: p => {
        p.send('CDS', 'c6', [impatientCluster('a', '6s')])
        p.send('CDS', 'c7', [])
      },
    },
  ],
  'cluster rejections': [
    { name: 'connect', run: () => {} },
    {
      name: 'a good and a bad one (factory)',
      run: p => p.send('CDS', 'c1', [staticCluster('good'), brokenCluster('bad'), staticCluster('late')]),
    },
    { name: 'two bad ones', run: p => p.send('CDS', 'c2', [brokenCluster('bad'), brokenCluster('bad2')]) },
    { name: 'a good one becomes bad', run: p => p.send('CDS', 'c2b', [staticCluster('good'), brokenCluster('late')]) },
    {
      name: 'a good and one that breaks a rule',
      run: p => p.send('CDS', 'c3', [staticCluster('good3'), { ...staticCluster('short'), connect_timeout: '0s' }]),
    },
    { name: 'a name twice', run: p => p.send('CDS', 'c4', [staticCluster('twice'), staticCluster('twice')]) },
    { name: 'no name', run: p => p.send('CDS', 'c5', [staticCluster('')]) },
    {
      name: 'another type in the list',
      run: p =>
        p.sendRaw(`type.googleapis.com/${TYPES['CDS']}`, 'c6', [
          { type_url: `type.googleapis.com/${TYPES['LDS']}`, value: encode(TYPES['LDS']!, listener('x', PORT, ['r'])) },
        ]),
    },
    {
      name: 'bytes that are no message',
      run: p =>
        p.sendRaw(`type.googleapis.com/${TYPES['CDS']}`, 'c7', [
          { type_url: `type.googleapis.com/${TYPES['CDS']}`, value: Buffer.from([0x0a, 0x7f, 0x01]) },
        ]),
    },
    {
      name: 'an unknown field',
      run: p =>
        p.sendRaw(`type.googleapis.com/${TYPES['CDS']}`, 'c8', [
          {
            type_url: `type.googleapis.com/${TYPES['CDS']}`,
            value: Buffer.concat([
              encode(TYPES['CDS']!, staticCluster('unknown')),
              Buffer.from([0xfa, 0xff, 0x3f, 1, 0x41]),
            ]),
          },
        ]),
    },
    {
      name: 'the name of a static cluster',
      run: p => p.send('CDS', 'c9', [staticCluster('xds'), staticCluster('good')]),
    },
    {
      name: 'the name of a static cluster, wholly different',
      run: p => p.send('CDS', 'c10', [edsCluster('xds'), staticCluster('good')]),
    },
    { name: 'all good', run: p => p.send('CDS', 'c11', [staticCluster('good')]) },
    { name: 'the same again', run: p => p.send('CDS', 'c11', [staticCluster('good')]) },
  ],
  'listener and route rejections': [
    { name: 'connect', run: () => {} },
    { name: 'one EDS cluster', run: p => p.send('CDS', 'c1', [edsCluster('a'), edsCluster('b')]) },
    {
      name: 'endpoints: one good, one bad',
      run: p =>
        p.send('EDS', 'e1', [
          assignment('a', 1),
          assignment('b', 2, { policy: { drop_overloads: [{ category: 'x' }, { category: 'y' }] } }),
        ]),
    },
    {
      name: 'endpoints: one good, one bad address',
      run: p =>
        p.send('EDS', 'e2', [
          assignment('a', 1),
          {
            cluster_name: 'b',
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { socket_address: { address: 'name.invalid', port_value: 1 } } } },
                ],
              },
            ],
          },
        ]),
    },
    {
      name: 'endpoints: one breaks a rule',
      run: p => p.send('EDS', 'e3', [assignment('a', 1), { cluster_name: 'b', endpoints: [{ priority: 200 }] }]),
    },
    { name: 'endpoints: a name twice', run: p => p.send('EDS', 'e4', [assignment('a', 1), assignment('a', 2)]) },
    { name: 'endpoints: good', run: p => p.send('EDS', 'e5', [assignment('a', 1), assignment('b', 2)]) },
    {
      name: 'listeners: good and bad (factory)',
      run: p =>
        p.send('LDS', 'l1', [
          listener('good', PORT, ['r1']),
          listener('bad', PORT + 1, ['r1'], {
            filter_chains: [
              { filters: [{ name: 'nope', typed_config: { '@type': 'type.googleapis.com/google.protobuf.Empty' } }] },
            ],
          }),
          listener('late', PORT + 2, ['r2']),
        ]),
    },
    {
      name: 'listeners: two bad',
      run: p =>
        p.send('LDS', 'l2', [
          listener('bad', PORT + 1, ['r1'], {
            filter_chains: [
              { filters: [{ name: 'nope', typed_config: { '@type': 'type.googleapis.com/google.protobuf.Empty' } }] },
            ],
          }),
          listener('bad2', PORT + 2, ['r1', 'r1'], { filter_chains: [{ name: 'x' }, { name: 'y' }] }),
        ]),
    },
    {
      name: 'listeners: one breaks a rule',
      run: p =>
        p.send('LDS', 'l3', [
          listener('good', PORT, ['r1']),
          listener('rule', PORT + 1, ['r1'], { filter_chains: [{ filters: [{}] }] }),
        ]),
    },
    {
      name: 'listeners: a name twice',
      run: p => p.send('LDS', 'l4', [listener('good', PORT, ['r1']), listener('good', PORT, ['r1'])]),
    },
    {
      name: 'listeners: one address twice',
      run: p => p.send('LDS', 'l5', [listener('good', PORT, ['r1']), listener('same', PORT, ['r1'])]),
    },
    {
      name: 'listeners: good',
      run: p => p.send('LDS', 'l6', [listener('good', PORT, ['r1']), listener('late', PORT + 2, ['r2'])]),
    },
    {
      name: 'routes: one good, one with an unknown cluster',
      run: p => p.send('RDS', 'r1', [routes('r1', 'a'), routes('r2', 'nowhere', { validate_clusters: true })]),
    },
    {
      name: 'routes: one good, one with a doubled domain',
      run: p =>
        p.send('RDS', 'r2', [
          routes('r1', 'a'),
          {
            name: 'r2',
            virtual_hosts: [
              { name: 'x', domains: ['*'] },
              { name: 'y', domains: ['*'] },
            ],
          },
        ]),
    },
    {
      name: 'routes: the bad one first',
      run: p =>
        p.send('RDS', 'r3', [
          {
            name: 'r1',
            virtual_hosts: [
              { name: 'x', domains: ['*'] },
              { name: 'y', domains: ['*'] },
            ],
          },
          routes('r2', 'b'),
        ]),
    },
    {
      name: 'routes: one breaks a rule',
      run: p => p.send('RDS', 'r4', [routes('r1', 'a'), { name: 'r2', virtual_hosts: [{ name: 'x' }] }]),
    },
    { name: 'routes: a name twice', run: p => p.send('RDS', 'r5', [routes('r1', 'a'), routes('r1', 'b')]) },
    { name: 'routes: good', run: p => p.send('RDS', 'r6', [routes('r1', 'a'), routes('r2', 'b')]) },
  ],
}
