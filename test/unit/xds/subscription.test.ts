import t from 'tap'
import { SotwSubscription } from '../../../src/xds/subscription.ts'

// Quotations are from "xDS REST and gRPC protocol" of the Envoy documentation.
const TYPE = 'type.googleapis.com/envoy.config.cluster.v3.Cluster'

t.test('"the initial request has an empty version_info and no nonce"', t => {
  const s = new SotwSubscription(TYPE)
  s.want([])
  t.same(s.take(), { typeUrl: TYPE, version: '', nonce: '', names: [], error: '' })
  t.end()
})

t.test('"An ACK … version_info … indicates the most recent version the client is using"', t => {
  const s = new SotwSubscription(TYPE)
  s.onAccepted('X', 'A')
  t.same(s.take(), { typeUrl: TYPE, version: 'X', nonce: 'A', names: [], error: '' })
  t.end()
})

t.test('"A NACK … is indicated by the presence of the error_detail field", with the previous version', t => {
  const s = new SotwSubscription(TYPE)
  s.onAccepted('X', 'A')
  s.take()
  s.onRejected('B', 'no')
  t.same(s.take(), { typeUrl: TYPE, version: 'X', nonce: 'B', names: [], error: 'no' })
  t.test('a request after it does not repeat the error', t => {
    s.want(['more'])
    t.same(s.take(), { typeUrl: TYPE, version: 'X', nonce: 'B', names: ['more'], error: '' })
    t.end()
  })
  t.end()
})

t.test('a rejection without words is still a NACK', t => {
  const s = new SotwSubscription(TYPE)
  s.onRejected('B', '')
  t.not(s.take().error, '')
  t.end()
})

t.test('a first response that is rejected leaves the version empty', t => {
  const s = new SotwSubscription(TYPE)
  s.onRejected('A', 'no')
  t.match(s.take(), { version: '', nonce: 'A', error: 'no' })
  t.end()
})

t.test('"the nonce is scoped to the stream"; the version survives a reconnect', t => {
  const s = new SotwSubscription(TYPE)
  s.onAccepted('X', 'A')
  s.onRejected('B', 'no')
  s.onStreamOpened()
  t.same(s.take(), { typeUrl: TYPE, version: 'X', nonce: '', names: [], error: '' })
  t.end()
})

t.test('a paused type keeps one request, and none when nothing happened', t => {
  const s = new SotwSubscription(TYPE)
  s.pause()
  t.equal(s.resume(), false)
  s.pause()
  s.pause()
  t.equal(s.due(), false)
  t.equal(s.due(), false)
  t.equal(s.resume(), false, 'still paused by the other')
  t.equal(s.paused, true)
  t.equal(s.resume(), true)
  t.equal(s.paused, false)
  t.equal(s.due(), true)
  t.throws(() => s.resume(), /not paused/)
  t.end()
})

t.test('what was held back for a stream is not sent on the next: that one begins with everything', t => {
  const s = new SotwSubscription(TYPE)
  s.pause()
  s.due()
  s.onStreamOpened()
  t.equal(s.resume(), false)
  t.end()
})
