import t from 'tap'
import { Http1ResponseReader } from '../../../../bench/load/open-loop/http1-response.ts'

interface Seen {
  readonly answers: string[]
  readonly ok: boolean
}

function read(text: string, cuts: readonly number[], toHead = false, end = false): Seen {
  const answers: string[] = []
  const onAnswer = (status: number, keep: boolean) => void answers.push(`${status} ${keep ? 'keep' : 'close'}`)
  const reader = new Http1ResponseReader({ onAnswer })
  reader.toHead = toHead
  const bytes = Buffer.from(text, 'latin1')
  let ok = true
  let from = 0
  for (const cut of [...cuts, bytes.length]) {
    const piece = bytes.subarray(from, cut)
    if (ok) ok = reader.push(piece, piece.length)
    from = cut
  }
  if (end) reader.end()
  return { answers, ok }
}

const CASES: readonly (readonly [name: string, text: string, answers: readonly string[], toHead?: boolean])[] = [
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', ['200 keep']],
  ['an empty body', 'HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n', ['503 keep']],
  [
    'two in one piece',
    'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 404 X\r\ncontent-length: 2\r\n\r\nbb',
    ['200 keep', '404 keep'],
  ],
  [
    'chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n',
    ['200 keep'],
  ],
  [
    'trailers',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-t: 1\r\ny: 2\r\n\r\n',
    ['200 keep'],
  ],
  [
    'no body by status',
    'HTTP/1.1 204 No\r\n\r\nHTTP/1.1 304 Not\r\ncontent-length: 9\r\n\r\n',
    ['204 keep', '304 keep'],
  ],
  [
    'interim answers',
    'HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hint\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    ['200 keep'],
  ],
  ['close', 'HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 0\r\n\r\n', ['200 close']],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n', ['200 close']],
  ['HTTP/1.0 kept', 'HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 0\r\n\r\n', ['200 keep']],
  [
    'to HEAD',
    'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n',
    ['200 keep', '200 keep'],
    true,
  ],
]

for (const [name, text, answers, toHead] of CASES) {
  t.test(`${name}: read whole and split at every byte`, t => {
    t.same(read(text, [], toHead), { answers, ok: true })
    for (let cut = 1; cut < text.length; cut++) {
      const seen = read(text, [cut], toHead)
      if (!seen.ok || seen.answers.join() !== answers.join()) t.fail(`cut at ${cut}: ${JSON.stringify(seen)}`)
    }
    const all = Array.from({ length: text.length - 1 }, (_, i) => i + 1)
    t.same(read(text, all, toHead), { answers, ok: true })
    t.end()
  })
}

t.test('a body without a length ends with the connection', t => {
  const text = 'HTTP/1.1 200 OK\r\n\r\nuntil close'
  t.same(read(text, [], false), { answers: [], ok: true })
  t.same(read(text, [25], false, true), { answers: ['200 close'], ok: true })
  t.end()
})

t.test('what is no HTTP/1.1 is refused', t => {
  for (const text of [
    'SSH-2.0-OpenSSH_9.2\r\n\r\n',
    'HTTP/2.0 200 OK\r\n\r\n',
    'HTTP/1.1 20x OK\r\n\r\n',
    'HTTP/1.1 101 Switching\r\n\r\n',
    'HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\n',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc',
  ])
    t.equal(read(text, []).ok, false, JSON.stringify(text))
  t.end()
})
