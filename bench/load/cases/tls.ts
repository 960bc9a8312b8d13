import { atLeast, type BenchCase, REQUESTS_PER_CPU } from '../case.ts'
import { MUTUAL_TLS, TLS_RSA, TLS_RSA_HTTP2, TLS_UPSTREAM } from '../configurations/tls.ts'
import { type ExchangeOptions, exchangeArguments, exchangeLoad } from '../drivers/exchange-load.ts'
import { wrkCase } from './http1.ts'
import { h2loadCase } from './http2.ts'

export const tlsHttp1: BenchCase = wrkCase(
  'tls-http1',
  'TLS, HTTP/1.1, small answers, 32 connections',
  TLS_RSA,
  { connections: 32, tls: true },
  { group: 'tls', goal: atLeast(1.5), from: 'smoke', needs: ['wrk', 'openssl'] },
)

export const tlsHttp2: BenchCase = h2loadCase(
  'tls-http2',
  'TLS, HTTP/2, small answers, 8 connections × 32 streams',
  TLS_RSA_HTTP2,
  { connections: 8, streams: 32, tls: true },
  { group: 'tls', goal: atLeast(1.5), needs: ['h2load', 'openssl'] },
)

export const tlsUpstream: BenchCase = wrkCase(
  'tls-upstream',
  'Mutual TLS to the upstream, HTTP/1.1, small answers, 32 connections',
  TLS_UPSTREAM,
  { connections: 32 },
  { group: 'tls', goal: atLeast(1.5), needs: ['wrk', 'openssl'] },
)

const MUTUAL: ExchangeOptions = { kind: 'http', connections: 32, mutualTls: true }

/** wrk and h2load have no client certificates: the load is the bench's own. */
export const mutualTls: BenchCase = {
  id: 'mtls-http1',
  title: 'Mutual TLS, HTTP/1.1, small answers, 32 connections',
  group: 'tls',
  series: null,
  axis: null,
  configuration: MUTUAL_TLS,
  metric: REQUESTS_PER_CPU,
  value: 'operations-per-cpu-second',
  goal: atLeast(1.5),
  from: 'standard',
  headline: false,
  fresh: false,
  needs: ['openssl'],
  commands: plan => [`exchange ${exchangeArguments(MUTUAL, plan.seconds).join(' ')} --port {port}`],
  measure: (target, plan) => exchangeLoad(MUTUAL, target, plan),
}
