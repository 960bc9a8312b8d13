import t from 'tap'
import { send } from '../../../bench/compare/client.ts'
import type { RewrittenListener } from '../../../bench/compare/rewrite-listener.ts'
import { readTrace } from '../../../bench/compare/trace.ts'

for (const http2 of [false, true]) {
  t.test(
    `a listener that is not there refuses the connection, and nothing else is said, over HTTP/${http2 ? 2 : 1}`,
    async t => {
      const [entry] = readTrace('http://a.test/', 'l', 1).entries
      const shape = { name: 'l', originalAddress: '', originalPort: 1, purpose: 'l', tls: false, plain: true } as const
      // Reserved, and nobody's.
      const place: RewrittenListener = { ...shape, port: 1, codec: 'AUTO' }
      const seen = await send(entry!, place, { http2, timeoutSeconds: 10, identity: null })
      t.same([seen.status, seen.connection, seen.body], ['no answer: refused', 'refused', ''])
    },
  )
}
