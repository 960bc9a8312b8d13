import type { BenchCase, ProfileName } from '../case.ts'
import { body1m, body4k, body100m, http2Body1m, upload1m } from './bodies.ts'
import { connections256, connections2000 } from './connections.ts'
import { clusterUpdate, endpointUpdate } from './endpoint-update.ts'
import { grpcUnary } from './grpc.ts'
import { handshakeEc, handshakeResumed, handshakeResumedWorkers, handshakeRsa } from './handshakes.ts'
import { headers } from './headers.ts'
import { http1Small } from './http1-small.ts'
import { http2Both, http2Small } from './http2.ts'
import { istioInbound, istioOutbound } from './istio.ts'
import { latencyHttp2, latencyOpenLoop } from './latency.ts'
import { memoryHttp1, memoryIdle, memoryStream, memoryTls } from './memory.ts'
import { routing } from './routing.ts'
import { scaleStart, startOne } from './start.ts'
import { tcpSmall } from './tcp.ts'
import { mutualTls, tlsHttp1, tlsHttp2, tlsUpstream } from './tls.ts'
import { workers } from './workers.ts'

/** In the order they are run; those of one configuration stand together and share their processes. */
export const CASES: readonly BenchCase[] = [
  http1Small,
  connections256,
  connections2000,
  ...headers,
  latencyOpenLoop,
  istioInbound,
  istioOutbound,
  http2Small,
  http2Both,
  latencyHttp2,
  grpcUnary,
  tlsHttp1,
  handshakeRsa,
  handshakeResumed,
  handshakeResumedWorkers,
  handshakeEc,
  tlsHttp2,
  mutualTls,
  tlsUpstream,
  tcpSmall,
  body4k,
  body1m,
  body100m,
  upload1m,
  http2Body1m,
  ...workers,
  ...routing,
  memoryIdle,
  memoryHttp1,
  memoryStream,
  memoryTls,
  startOne,
  ...scaleStart,
  endpointUpdate,
  clusterUpdate,
]

const ORDER: readonly ProfileName[] = ['smoke', 'standard', 'full']

/** Cases of a profile; with `only`, whatever the profile: a word is a whole id, or else the beginning of ids, or a group. */
export function selectCases(profile: ProfileName, only: readonly string[]): readonly BenchCase[] {
  if (only.length > 0) return CASES.filter(one => only.some(word => names(word, one)))
  return CASES.filter(one => ORDER.indexOf(one.from) <= ORDER.indexOf(profile))
}

function names(word: string, one: BenchCase): boolean {
  // `routing-1` is one case, not also routing-1000.
  if (CASES.some(other => other.id === word)) return one.id === word
  return one.id.startsWith(word) || one.group === word
}
