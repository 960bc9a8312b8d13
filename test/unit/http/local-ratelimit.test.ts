import t from 'tap'
import { TokenBuckets, tokenBucketMemory } from '../../../src/base/token-bucket.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import { localCluster } from '../../../src/config/local-cluster.ts'
import { parseLocalRateLimit } from '../../../src/http/filters/local-ratelimit/config.ts'
import { Limit, Limiter } from '../../../src/http/filters/local-ratelimit/limiter.ts'

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

t.test('a value that a client chooses is not taken for several entries of another descriptor', async t => {
  const bucket = { max_tokens: 1, tokens_per_fill: 1, fill_interval: 3_600_000 }
  const entries = [
    { key: 'user', value: 'joe' },
    { key: 'plan', value: 'gold' },
  ]
  const { limiter } = parse({
    local_cluster_rate_limit: undefined,
    token_bucket: { ...bucket, max_tokens: 100 },
    descriptors: [{ entries, token_bucket: bucket }],
  })
  const buckets = new Limiter(limiter, new TokenBuckets(tokenBucketMemory(1)), false)
  const of = (...texts: string[]) => ({
    entries: texts,
    hits: 1,
    countsHits: false,
    limit: null,
    gives: false,
    headers: undefined,
  })
  t.equal(buckets.check([of('user', 'joe\0plan\0gold')], 1), Limit.Allowed)
  t.equal(buckets.bucket!.max, 100, 'the bucket for all')
  t.equal(buckets.check([of('user', 'joe', 'plan', 'gold')], 1), Limit.Allowed)
  t.equal(buckets.bucket!.max, 1)
  t.equal(buckets.check([of('user', 'joe', 'plan', 'gold')], 1), Limit.Limited)
})
