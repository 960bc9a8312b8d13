import { RunningProxy } from '../integration/proxy/running-proxy.ts'
import type { CorpusRun } from './corpora.ts'
import { exchange, summary } from './exchange.ts'
import { RecordingUpstream } from './recording-upstream.ts'

const SPLIT = 'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled'
const OK = 'HTTP/1.1 200 OK\r\n'

/** Responses of an upstream that is broken or hostile: each must be answered as one response, or refused. */
const responses: Record<string, string> = {
  'longer than its length': `${OK}content-length: 2\r\n\r\nok${SPLIT}`,
  'longer than its length by garbage': `${OK}content-length: 2\r\n\r\nokgarbage`,
  'a body with 204': `HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok`,
  'chunked with 204': 'HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  'a zero length with 204': 'HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n',
  'chunked with 304': 'HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n',
  'a length with 103':
    'HTTP/1.1 103 Early Hints\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
  'chunked with 103':
    'HTTP/1.1 103 Early Hints\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
  'a response behind a 204': `HTTP/1.1 204 No Content\r\n\r\n${SPLIT}`,
  'a response behind a 304': `HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n${SPLIT}`,
  'a response behind chunks': `${OK}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${SPLIT}`,
  'chunked and a length': `${OK}transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
  'an unknown coding': `${OK}transfer-encoding: xchunked\r\ncontent-length: 2\r\n\r\nok`,
  'an unknown coding alone': `${OK}transfer-encoding: xchunked\r\n\r\nok`,
  'two lengths': `${OK}content-length: 2\r\ncontent-length: 10\r\n\r\nok`,
  'two equal lengths': `${OK}content-length: 2\r\ncontent-length: 2\r\n\r\nok`,
  'a list of lengths': `${OK}content-length: 2, 2\r\n\r\nok`,
  'a length with a plus': `${OK}content-length: +2\r\n\r\nok`,
  'a negative length': `${OK}content-length: -2\r\n\r\nok`,
  'a chunk longer than its size': `${OK}transfer-encoding: chunked\r\n\r\n2\r\nokok\r\n0\r\n\r\n`,
  'bare LF in chunks': `${OK}transfer-encoding: chunked\r\n\r\n2\nok\n0\n\n`,
  'a chunk size that overflows': `${OK}transfer-encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n`,
  'bare LF everywhere': 'HTTP/1.1 200 OK\ncontent-length: 2\n\nok',
  'a bare CR in a value': `${OK}a: b\rc: d\r\ncontent-length: 2\r\n\r\nok`,
  'NUL in a value': `${OK}a: b\0c\r\ncontent-length: 2\r\n\r\nok`,
  'a fold of the length': `${OK}content-length: 2\r\n 0\r\n\r\nok`,
  'a blank before the colon': `${OK}content-length : 2\r\n\r\nok`,
  'a line without colon': `${OK}a\r\ncontent-length: 2\r\n\r\nok`,
  'a status of two digits': 'HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok',
  'a status of four digits': 'HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nok',
  'a status below 100': 'HTTP/1.1 099 OK\r\ncontent-length: 2\r\n\r\nok',
  'a status over 599': 'HTTP/1.1 999 OK\r\ncontent-length: 2\r\n\r\nok',
  '101 nobody asked for': `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n${SPLIT}`,
  'many interim responses': `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(200)}${OK}content-length: 2\r\n\r\nok`,
  'a head of 70,000 bytes': `${OK}a: ${'a'.repeat(70_000)}\r\ncontent-length: 2\r\n\r\nok`,
  'over 100 fields': `${OK}${'a: b\r\n'.repeat(101)}content-length: 2\r\n\r\nok`,
  'not HTTP': 'SSH-2.0-OpenSSH_9.9\r\n',
}

/** Name of the case → status, body and what the next request on the pool got. */
export async function runResponseCorpus({ command, only, patience = 1 }: CorpusRun = {}): Promise<Map<string, string>> {
  const upstream = await RecordingUpstream.start()
  const names = Object.keys(responses)
  upstream.answer = path => {
    const index = /^\/r(\d+)$/.exec(path)?.[1]
    return index === undefined ? 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext' : responses[names[Number(index)]!]!
  }
  const proxy = await RunningProxy.start({
    upstream: upstream.port,
    manager: 'delayed_close_timeout: 0.05s',
    ...(command === undefined ? {} : { command }),
  })
  const outcomes = new Map<string, string>()
  const ask = async (path: string): Promise<string> => {
    const seen = await exchange(
      proxy.port,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      300 * patience,
    )
    const body = seen.text.slice(seen.text.lastIndexOf('\r\n\r\n') + 4)
    return `${summary(seen)} ${/^upstream|^HTTP/.test(body) ? '' : JSON.stringify(body)}`.trim()
  }
  try {
    for (const [index, name] of names.entries()) {
      if (only?.has(name) === false) continue
      outcomes.set(name, `${await ask(`/r${index}`)} | ${await ask('/next')}`)
    }
  } finally {
    await proxy.stop()
    await upstream.stop()
  }
  return outcomes
}
