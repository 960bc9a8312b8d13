import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import type { ResourceError } from '../../../src/xds/nack.ts'
import { CDS } from '../../../src/xds/resources/cds.ts'
import { CompleteSet, type ResourceSink } from '../../../src/xds/resources/complete-set.ts'
import { LDS } from '../../../src/xds/resources/lds.ts'
import type { ResourceType } from '../../../src/xds/resources/type.ts'
import { type DecodePolicy, XdsResource } from '../../../src/xds/resources/xds-resource.ts'
import { encode, lenient } from './fakes.ts'

class Sink implements ResourceSink {
  readonly events: string[] = []
  bad: Record<string, Error> = {}

  apply(version: string, changed: readonly XdsResource[], removed: readonly string[]): ResourceError[] {
    this.events.push(`${version} +${changed.map(r => r.name).join(',')} -${removed.join(',')}`)
    return changed.flatMap(({ name }) => (this.bad[name] === undefined ? [] : [{ name, error: this.bad[name] }]))
  }

  ready(): void {
    this.events.push('ready')
  }
}

function resource(
  name: string,
  more: object = {},
  type: ResourceType = CDS,
  policy: DecodePolicy = lenient,
): XdsResource {
  const basic = type === CDS ? { connect_timeout: '1s' } : { address: { pipe: { path: '/x' } } }
  return new XdsResource(type, name, encode(type, { name, ...basic, ...more }), policy)
}

t.test('what is missing was removed, what came unchanged is not handed over again', t => {
  const sink = new Sink()
  const set = new CompleteSet('cluster(s)', sink)
  set.onUpdate({ version: '1', resources: [resource('a'), resource('b')] })
  set.onUpdate({ version: '2', resources: [resource('b', { connect_timeout: '2s' }), resource('c')] })
  set.onUpdate({ version: '3', resources: [resource('b', { connect_timeout: '2s' }), resource('c')] })
  set.onUpdate({ version: '4', resources: [] })
  t.same(sink.events, ['1 +a,b -', 'ready', '2 +b,c -a', '3 + -', '4 + -b,c'])
  t.end()
})

t.test('good ones of a refused response apply; a refused one is not removed, and is judged again next time', t => {
  const sink = new Sink()
  const set = new CompleteSet('cluster(s)', sink)
  set.onUpdate({ version: '1', resources: [resource('a'), resource('b')] })
  sink.bad = { b: new ConfigError('CONFIG_INVALID', 'lb_policy', 'no good', { advice: 'try another' }) }
  const second = [resource('a', { connect_timeout: '2s' }), resource('b', { connect_timeout: '2s' })]
  t.throws(() => set.onUpdate({ version: '2', resources: second }), {
    message: 'Error adding/updating cluster(s) b: no good; at lb_policy; try another',
  })
  t.throws(() => set.onUpdate({ version: '2', resources: second }))
  sink.bad = {}
  set.onUpdate({ version: '3', resources: [resource('a', { connect_timeout: '2s' }), resource('b')] })
  t.same(sink.events, ['1 +a,b -', 'ready', '2 +a,b -', '2 +b -', '3 + -'])
  t.end()
})

t.test('a message that breaks its rules refuses the response before anything is applied', t => {
  const sink = new Sink()
  const set = new CompleteSet('cluster(s)', sink)
  const resources = [resource('a'), resource('b', { connect_timeout: '0s' })]
  t.throws(() => set.onUpdate({ version: '1', resources }), /ConnectTimeout: value must be greater than 0s/)
  t.same(sink.events, [])
  t.end()
})

t.test('a name twice: the first counts, the second is an error', t => {
  const sink = new Sink()
  const clusters = new CompleteSet('cluster(s)', sink)
  t.throws(() => clusters.onUpdate({ version: '1', resources: [resource('a'), resource('a')] }), {
    message: 'Error adding/updating cluster(s) a: duplicate cluster a found',
  })
  const listeners = new CompleteSet('listener(s)', sink)
  t.throws(() => listeners.onUpdate({ version: '1', resources: [resource('a', {}, LDS), resource('a', {}, LDS)] }), {
    message: 'Error adding/updating listener(s) a: duplicate listener a found\n',
  })
  t.same(sink.events, ['1 +a -', 'ready', '1 +a -', 'ready'])
  t.end()
})

t.test('an answer that never comes does not hold the start up', t => {
  const sink = new Sink()
  const set = new CompleteSet('cluster(s)', sink)
  set.onUnavailable('timeout')
  set.onUpdate({ version: '1', resources: [] })
  t.same(sink.events, ['ready', '1 + -'])
  t.end()
})

t.test('a reload is counted when something was taken over', t => {
  const sink = new Sink()
  let reloads = 0
  const set = new CompleteSet('cluster(s)', sink, new Set(['static']), () => void reloads++)
  sink.bad = { a: new Error('bad') }
  t.throws(() => set.onUpdate({ version: '1', resources: [resource('a')] }), { message: /a: bad/ })
  t.equal(reloads, 0)
  set.onUpdate({ version: '2', resources: [resource('b')] })
  set.onUpdate({ version: '3', resources: [resource('b')] })
  t.equal(reloads, 1)
  set.onUpdate({ version: '4', resources: [resource('static')] })
  t.equal(reloads, 1, 'neither removals nor what is static')
  t.same(sink.events.slice(-2), ['3 + -', '4 + -b'])
  t.end()
})

t.test('unknown fields warn and count, or refuse with --reject-unknown-dynamic-fields', t => {
  const bytes = Buffer.concat([
    encode(CDS, { name: 'a', connect_timeout: '1s' }),
    Buffer.from([0xfa, 0xff, 0x3f, 1, 65]),
  ])
  const warnings: string[] = []
  let counted = 0
  const policy = {
    rejectUnknown: false,
    warn: (text: string) => void warnings.push(text),
    countUnknown: () => void counted++,
  }
  new XdsResource(CDS, 'a', bytes, policy).decode()
  t.equal(counted, 1)
  t.match(warnings, [/unknown field set \{131071\}/])
  t.throws(() => new XdsResource(CDS, 'a', bytes, { ...policy, rejectUnknown: true }).decode(), {
    code: 'CONFIG_UNKNOWN_FIELD',
  })
  t.end()
})
