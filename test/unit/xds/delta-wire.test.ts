import t from 'tap'
import { decodeMessage } from '../../../src/config/binary.ts'
import { readJson } from '../../../src/config/json-reader.ts'
import {
  decodeDeltaRequest,
  decodeDeltaResponse,
  encodeDeltaRequest,
  encodeDeltaResponse,
} from '../../../src/xds/delta-wire.ts'
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from '../../../src/xds/discovery-wire.ts'

const body = { typeUrl: 'type.googleapis.com/x', bytes: Uint8Array.from([1, 2, 255]) }

t.test('an incremental response goes through unchanged, bodies as bytes', t => {
  const response = {
    systemVersion: 's1',
    typeUrl: 'type.googleapis.com/x',
    nonce: 'n',
    controlPlane: 'istiod',
    resources: [
      { name: 'a', version: '1', aliases: ['b', 'c'], ttl: 1500, body },
      { name: 'h', version: '', aliases: [], ttl: null, body: null },
    ],
    removed: ['z', ''],
  }
  const bytes = encodeDeltaResponse(response)
  const decoded = decodeDeltaResponse(bytes)
  t.same(decoded, { ...response, resources: response.resources.map(r => ({ ...r })) })
  t.same(encodeDeltaResponse(decoded), bytes)
  t.throws(() => decodeDeltaResponse(bytes.subarray(0, bytes.length - 1)), /truncated/)
  t.end()
})

t.test('an incremental request says what a server must know', t => {
  const request = {
    typeUrl: 'T',
    subscribe: ['a', 'b'],
    unsubscribe: ['c'],
    initialVersions: new Map([
      ['a', '1'],
      ['d', ''],
    ]),
    nonce: 'n',
    error: 'bad',
  }
  const bytes = encodeDeltaRequest(request, { id: 'node' })
  t.match(decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', bytes).message, {
    node: { id: 'node' },
    type_url: 'T',
    resource_names_subscribe: ['a', 'b'],
    resource_names_unsubscribe: ['c'],
    initial_resource_versions: { a: '1', d: '' },
    response_nonce: 'n',
    error_detail: { code: 13, message: 'bad' },
  })
  const { node, ...rest } = decodeDeltaRequest(bytes)
  t.same(rest, request)
  t.match(decodeMessage('envoy.config.core.v3.Node', node!).message, { id: 'node' })
  const ack = encodeDeltaRequest({ ...request, initialVersions: new Map(), error: '' }, undefined)
  t.match(decodeDeltaRequest(ack), { node: null, error: null })
  t.end()
})

t.test('the same for the state of the world', t => {
  const request = { typeUrl: 'T', version: 'v', nonce: 'n', names: ['a'], error: 'bad' }
  const { node, ...rest } = decodeRequest(encodeRequest(request, { id: 'node' }))
  t.same(rest, request)
  t.ok(node)
  const response = { version: 'v', typeUrl: 'T', nonce: 'n', controlPlane: 'c', resources: [body] }
  t.same(decodeResponse(encodeResponse(response)), response)
  t.end()
})

t.test('time to live: seconds and fractions', t => {
  const of = (ttl: string): number | null | undefined => {
    const { message } = readJson<{ ttl: number }>('envoy.service.discovery.v3.Resource', { name: 'a', ttl })
    const one = { name: 'a', version: '', aliases: [], ttl: message.ttl, body: null }
    const response = { systemVersion: '', typeUrl: '', nonce: '', controlPlane: '', resources: [one], removed: [] }
    return decodeDeltaResponse(encodeDeltaResponse(response)).resources[0]?.ttl
  }
  t.equal(of('3600s'), 3_600_000)
  t.equal(of('0.25s'), 250)
  t.equal(of('0s'), 0)
  t.end()
})
