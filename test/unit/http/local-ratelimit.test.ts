import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import { localCluster } from '../../../src/config/local-cluster.ts'
import { parseLocalRateLimit } from '../../../src/http/filters/local-ratelimit/config.ts'

const parse = (more: object) =>
  parseLocalRateLimit({ stat_prefix: 's', local_cluster_rate_limit: {}, ...more }, FieldPath.root(), [])

t.test('tokens are shared with the members of a cluster that has a name, and not by connection', async t => {
  t.teardown(() => {
    localCluster.name = ''
  })
  t.throws(() => parse({}), /local_cluster_rate_limit is set but no local cluster name is present/)
  localCluster.name = 'here'
  t.equal(parse({}).perCluster, true)
  t.equal(parse({ local_cluster_rate_limit: undefined }).perCluster, false)
  t.throws(
    () => parse({ local_rate_limit_per_downstream_connection: true }),
    /local_rate_limit_per_downstream_connection is set to true/,
  )
})
