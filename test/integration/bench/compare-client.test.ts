import t from 'tap'
import { send, serverName } from '../../../bench/compare/client.ts'
import type { RewrittenListener } from '../../../bench/compare/rewrite-listener.ts'
import { readTrace } from '../../../bench/compare/trace.ts'

for (const [http2, tls] of [
  [false, false],
  [true, false],
  [false, true],
  [true, true],
] as const) {
  t.test(
    `a listener that is not there refuses the connection, and nothing else is said, over HTTP/${http2 ? 2 : 1}, TLS ${tls}`,
    async t => {
      const [entry] = readTrace(tls ? 'https://127.0.0.1/' : 'http://a.test/', 'l', 1).entries
      const shape = { name: 'l', originalAddress: '', originalPort: 1, purpose: 'l', tls, plain: !tls } as const
      // Reserved, and nobody's.
      const place: RewrittenListener = { ...shape, port: 1, codec: 'AUTO' }
      const seen = await send(entry!, place, { http2, timeoutSeconds: 10, identity: null })
      t.match(seen.status, tls ? /^no answer: .*ECONNREFUSED/ : /^no answer: refused$/)
      t.same([seen.connection, seen.body], ['refused', ''])
    },
  )
}

t.test('an address is no server name', async t => {
  const of = (url: string): string => serverName(readTrace(url, 'l', 1).entries[0]!)
  t.same(['https://a.test:1/', 'https://127.0.0.1/', 'https://[::1]:1/'].map(of), ['a.test', '', ''])
})
