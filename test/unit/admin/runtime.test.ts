import t from 'tap'
import { runtimeHandlers } from '../../../src/admin/runtime.ts'
import { RuntimeLoader } from '../../../src/server/runtime.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { ask } from './fakes.ts'
import { recorded, withoutDebugMarker } from './recorded.ts'

/** The layers of the recording. */
const LAYERS = [
  {
    name: 'static_layer_0',
    static_layer: {
      lab: { some_key: 12, str_key: 'hello', frac: { denominator: 'HUNDRED', numerator: 25 }, bool_key: true },
      'fault.http.abort.abort_percent': 0,
    },
  },
  { name: 'admin', admin_layer: {} },
]

function made(layers: readonly object[] = LAYERS) {
  const loader = new RuntimeLoader({ layers } as never, new StatsStore(), () => {})
  return runtimeHandlers(() => loader)
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

t.test('/runtime: layers and entries as the real Envoy shows them', async t => {
  const { body } = await ask(made(), '/runtime')
  t.same(JSON.parse(withoutDebugMarker(body)), JSON.parse(withoutDebugMarker(recorded('runtime').body)))
})

t.test('/runtime_modify: query, form, override and its removal', async t => {
  const handlers = made()
  t.equal((await ask(handlers, '/runtime_modify?lab.some_key=99&new.key=abc')).body, 'OK\n')
  t.equal((await ask(handlers, '/runtime_modify', { body: 'lab.str_key=frombody', headers: FORM })).body, 'OK\n')
  const { entries } = JSON.parse((await ask(handlers, '/runtime')).body) as { entries: Record<string, object> }
  t.same(entries['lab.some_key'], { layer_values: ['12', '99'], final_value: '99' })
  t.same(entries['lab.str_key'], { layer_values: ['hello', 'frombody'], final_value: 'frombody' })
  t.same(entries['new.key'], { layer_values: ['', 'abc'], final_value: 'abc' })
  await ask(handlers, '/runtime_modify?new.key=&lab.some_key=')
  const after = JSON.parse((await ask(handlers, '/runtime')).body) as { entries: Record<string, object> }
  t.notOk('new.key' in after.entries)
  t.same(after.entries['lab.some_key'], { layer_values: ['12', ''], final_value: '12' })
})

t.test('/runtime_modify without parameters says how', async t => {
  const usage = recorded('runtime-modify-usage')
  t.match(await ask(made(), '/runtime_modify'), { status: 400, body: usage.body })
  // A body of another type is not looked at.
  t.match(await ask(made(), '/runtime_modify', { body: 'a=b' }), { status: 400, body: usage.body })
})

t.test('/runtime_modify needs an admin layer', async t => {
  const answer = await ask(made([LAYERS[0]!]), '/runtime_modify?a=b')
  t.match(answer, { status: 503, body: 'No admin layer specified' })
})

t.test('a key named like a property of objects is a key like any other', async t => {
  const handlers = made()
  await ask(handlers, '/runtime_modify?__proto__=1')
  t.match((await ask(handlers, '/runtime')).body, /"__proto__": \{\n {3}"layer_values": \[\n {4}"",\n {4}"1"/)
})
