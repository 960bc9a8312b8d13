import t from 'tap'
import { RuntimeResource } from '../../../src/xds/resources/rtds.ts'
import type { XdsResource } from '../../../src/xds/resources/xds-resource.ts'

const resource = (name: string, layer: object): XdsResource =>
  ({ ownName: name, decodeWhole: () => ({ name, layer }), locate: (error: Error) => error }) as unknown as XdsResource
const update = (...resources: XdsResource[]) => ({ version: '1', resources })

t.test('a response has the one layer that was asked for, or says that it is gone', async t => {
  const seen: object[] = []
  let settled = 0
  const handler = new RuntimeResource('some', { onLayer: values => seen.push(values), onSettled: () => settled++ })
  const none = 'Unexpected RTDS resource length, number of added resources 0, number of removed resources 0'
  t.throws(() => handler.onUpdate(update()), { message: none })
  const two = 'Unexpected RTDS resource length, number of added resources 1, number of removed resources 1'
  t.throws(() => handler.onUpdate({ ...update(resource('some', {})), removed: ['some'] }), { message: two })
  t.throws(() => handler.onUpdate(update(resource('other', {}))), /Unexpected RTDS runtime \(expecting some\): other/)
  t.equal(settled, 0, 'the subscription tells of a refusal')
  handler.onUpdate(update(resource('some', { a: 1 })))
  handler.onUpdate({ version: '2', resources: [], removed: ['some'] })
  t.same(seen, [{ a: 1 }, {}])
  t.equal(settled, 2)
})

t.test('a layer that never comes is not waited for', async t => {
  let settled = 0
  new RuntimeResource('some', { onLayer: () => {}, onSettled: () => settled++ }).onUnavailable('timeout')
  t.equal(settled, 1)
})
