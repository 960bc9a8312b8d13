import t from 'tap'
import { parseAssignment } from '../../../src/config/endpoint.ts'
import { FieldPath } from '../../../src/config/field-path.ts'

t.test('TLVs of single hosts are not told, and a configuration that has them hears of it', async t => {
  const endpoint = { address: { socket_address: { address: '1.2.3.4', port_value: 80 } } }
  const warned = (typed_filter_metadata: Record<string, never>): string[] => {
    const warnings: string[] = []
    const endpoints = [{ lb_endpoints: [{ endpoint, metadata: { typed_filter_metadata } }] }]
    const options = { dns: false, clusterType: 'STATIC', warn: (text: string) => warnings.push(text) }
    parseAssignment({ cluster_name: 'c', endpoints }, FieldPath.root(), options)
    return warnings
  }
  t.match(warned({ 'envoy.transport_sockets.proxy_protocol': {} as never }), [/TLVs of single hosts are not told/])
  t.same(warned({ other: {} as never }), [])
})
