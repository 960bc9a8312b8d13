import t from 'tap'
import { parseH2load } from '../../../bench/load/drivers/h2load.ts'
import { parseWrk } from '../../../bench/load/drivers/wrk.ts'

const WRK = `Running 1s test @ http://127.0.0.1:23990/
  1 threads and 2 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    78.93us  201.19us   5.36ms   98.10%
    Req/Sec    29.11k     3.02k   33.38k    81.82%
  Latency Distribution
     50%   56.00us
     75%   67.00us
     90%   79.00us
     99%    0.87ms
  31762 requests in 1.10s, 4.54MB read
Requests/sec:  28880.35
Transfer/sec:      4.13MB
`

t.test("wrk's requests, time, bytes and latencies are read with their units", async t => {
  t.same(parseWrk(WRK), {
    requests: 31762,
    seconds: 1.1,
    bytesRead: 4.54 * 1024 ** 2,
    errors: 0,
    refused: 0,
    latency: [
      { percentile: 50, microseconds: 56 },
      { percentile: 75, microseconds: 67 },
      { percentile: 90, microseconds: 79 },
      { percentile: 99, microseconds: 870 },
    ],
  })
})

t.test("wrk's errors are counted; its time-outs are slow answers, not lost ones", async t => {
  const text = `${WRK}  Socket errors: connect 1, read 2, write 3, timeout 40\n  Non-2xx or 3xx responses: 5\n`
  t.equal(parseWrk(text).errors, 6)
  t.equal(parseWrk(text).refused, 5)
})

t.test('what is no result of wrk is an error with its text', async t => {
  t.throws(() => parseWrk('unable to connect to 127.0.0.1:1 Connection refused'), /unable to connect/)
})

const H2LOAD = `finished in 1.00s, 2000.00 req/s, 134.89KB/s
requests: 2004 total, 2006 started, 2004 done, 2000 succeeded, 4 failed, 4 errored, 0 timeout
status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 134.89KB (138132) total, 93.75KB (96000) headers (space savings 51.02%), 5.86KB (6000) data
`

t.test("h2load's good answers, failures and payload are read", async t => {
  t.same(parseH2load(H2LOAD), { requests: 2000, errors: 8, bytes: 6000 })
})

t.test('an answer of 5xx is no request done and one error', async t => {
  const text = H2LOAD.replace('2000 succeeded, 4 failed, 4 errored', '1990 succeeded, 10 failed, 0 errored').replace(
    '2000 2xx, 0 3xx, 0 4xx, 0 5xx',
    '1990 2xx, 0 3xx, 0 4xx, 10 5xx',
  )
  t.same(parseH2load(text), { requests: 1990, errors: 10, bytes: 6000 })
})

t.test('what is no result of h2load is an error with its text', async t => {
  t.throws(() => parseH2load('could not connect'), /could not connect/)
})
