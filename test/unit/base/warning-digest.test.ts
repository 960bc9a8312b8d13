import t from 'tap'
import type { Log } from '../../../src/base/log.ts'
import { WarningDigest } from '../../../src/base/warning-digest.ts'

function digest(): { digest: WarningDigest; lines: string[] } {
  const lines: string[] = []
  return { digest: new WarningDigest({ warning: text => void lines.push(text) } as Log), lines }
}

t.test('the same warning about many places is one line with the first place and the number', t => {
  const { digest: d, lines } = digest()
  const text = "field 'decorator' is not supported, it has no effect"
  for (let i = 0; i < 30; i++)
    d.add(`RouteConfiguration '${8000 + i}': virtual_hosts[${i}].routes[0].decorator: ${text}`)
  d.add(`RouteConfiguration '8000': virtual_hosts["a.b"].cors: ${text}`)
  t.same(lines, [], 'nothing before the push is read')
  d.flush()
  t.same(lines, [
    `RouteConfiguration '8000': virtual_hosts[0].routes[0].decorator: ${text} (first of 30 places)`,
    `RouteConfiguration '8000': virtual_hosts["a.b"].cors: ${text}`,
  ])
  t.end()
})

t.test('each push is told of', async t => {
  const { digest: d, lines } = digest()
  d.add('x: no effect')
  await new Promise(done => setImmediate(done))
  t.same(lines, ['x: no effect'], 'written at the end of the turn')
  d.add('x: no effect')
  await new Promise(done => setImmediate(done))
  t.same(lines, ['x: no effect', 'x: no effect'])
})

t.test('kinds without end do not pile up', t => {
  const { digest: d, lines } = digest()
  for (let i = 0; i < 5000; i++) d.add(`kind${i}: no effect`)
  t.ok(lines.length >= 4000)
  d.flush()
  t.equal(lines.length, 5000)
  t.end()
})
