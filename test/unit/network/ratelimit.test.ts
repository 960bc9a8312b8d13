import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import { networkRateLimitFactory } from '../../../src/network/filters/ratelimit.ts'

const parse = (proto: object, warnings: string[] = []) =>
  networkRateLimitFactory.parse(proto as never, FieldPath.root(), warnings)

t.test('values of entries are formats, a service must be named, and what Envoy does not heed is said', async t => {
  const rate_limit_service = { grpc_service: { envoy_grpc: { cluster_name: 'c' } } }
  const entries = [{ key: 'k', value: '%PROTOCOL%' }]
  t.throws(() => parse({ descriptors: [{ entries }] }), /a rate limit service is required/)
  t.throws(() => parse({ rate_limit_service, descriptors: [{ entries: [{ key: 'k', value: '%NONE%' }] }] }))
  const warnings: string[] = []
  const config = parse({ rate_limit_service, descriptors: [{ entries, hits_addend: 2 }] }, warnings)
  t.match(config, { descriptors: [['k', '%PROTOCOL%']], timeout: 20, failureDeny: false })
  t.equal(warnings.length, 1)
})
