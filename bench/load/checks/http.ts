import { randomUUID } from 'node:crypto'
import type { Check } from '../result.ts'
import type { Target } from '../target.ts'
import { untilLogged } from './access-log.ts'
import { type Answer, ask, type Question, stats } from './ask.ts'
import { Checks } from './checks.ts'
import { checkMoved } from './moved.ts'
import type { CheckPlan } from './plan.ts'

/** Everything that a request through an HTTP listener must have brought about. */
export async function checkHttp(target: Target, depth: 'full' | 'quick'): Promise<Check[]> {
  const checks = new Checks()
  const { peer, configuration } = target
  const plan =
    depth === 'full'
      ? configuration.checks
      : { ...configuration.checks, retries: false, stallSeconds: null, log: false }
  const before = peer.isEnvoy ? await stats(target.sites.admin) : new Map<string, number>()

  const mark = `/check-${randomUUID()}`
  const answer = await get(target, mark)
  checks.add(
    'answers',
    answer.status === 200 && answer.body.toString().startsWith('hello'),
    `status ${answer.status}, body ${JSON.stringify(answer.body.toString().slice(0, 40))} ${answer.error}`,
  )
  if (answer.status !== 200) return checks.list
  if (peer.isEnvoy) checkEnvoyHeaders(checks, answer, plan.server)
  if (plan.tls) await checkTls(checks, target, answer)
  const requestId = await checkUpstreamHeaders(checks, target)
  if (plan.retries && (peer.isEnvoy || peer.id === 'haproxy' || peer.id === 'nginx')) await checkRetry(checks, target)
  if (plan.stallSeconds !== null) await checkTimeout(checks, target, plan.stallSeconds)
  if (peer.isEnvoy) await checkStats(checks, plan, target.sites.admin, before)
  if (plan.log) {
    const line = await untilLogged(target.sites.log, mark, plan.logWaitSeconds)
    checks.add('access log line', line !== null, line ?? `no line with ${mark} in the log`)
    if (line !== null && peer.isEnvoy) {
      const second = await untilLogged(target.sites.log, requestId, plan.logWaitSeconds)
      checks.add('request id in the log', requestId !== '' && second !== null, `request id ${requestId}`)
    }
  }
  return checks.list
}

export function questionFor(target: Target, path: string): Question {
  const plan = target.configuration.checks
  return {
    port: target.sites.listen,
    path,
    host: plan.host,
    protocol: plan.protocol,
    tls: plan.tls,
    client: plan.clientCertificate ? (target.sites.certificates?.client ?? null) : null,
  }
}

function get(target: Target, path: string): Promise<Answer> {
  return ask(questionFor(target, path))
}

function checkEnvoyHeaders(checks: Checks, answer: Answer, server: string): void {
  const time = answer.headers['x-envoy-upstream-service-time']
  checks.add('x-envoy-upstream-service-time', /^\d+$/.test(String(time)), `${time}`)
  checks.add('server header', answer.headers['server'] === server, `${answer.headers['server']}`)
}

/** Returns the request id that the upstream saw. */
async function checkUpstreamHeaders(checks: Checks, target: Target): Promise<string> {
  const seen = (await get(target, '/inspect')).body.toString().trim()
  const field = (name: string): string => new RegExp(`(?:^|;)${name}=([^;]*)`).exec(seen)?.[1] ?? ''
  const id = field('request-id')
  checks.add('request id reaches the upstream', /^[0-9a-f-]{32,36}$/.test(id), seen)
  checks.add(
    'x-forwarded-proto reaches the upstream',
    field('proto') === (target.configuration.checks.tls ? 'https' : 'http'),
    seen,
  )
  if (target.peer.isEnvoy) {
    checks.add('x-envoy-attempt-count reaches the upstream', field('attempt') === '1', seen)
    if (target.configuration.checks.stallSeconds !== null)
      checks.add('x-envoy-expected-rq-timeout-ms reaches the upstream', Number(field('expected')) > 0, seen)
  }
  return id
}

async function checkRetry(checks: Checks, target: Target): Promise<void> {
  const answer = await get(target, `/flaky?id=${randomUUID()}`)
  checks.add('retry policy acts', answer.status === 200, `an upstream that says 503 once: ${answer.status}`)
}

/** The same route as is measured: its timeout must be armed there. */
async function checkTimeout(checks: Checks, target: Target, seconds: number): Promise<void> {
  const answer = await ask({ ...questionFor(target, '/stall'), timeoutSeconds: seconds * 4 })
  // nginx tries the next server when this one is silent, so it may take a multiple.
  const inTime = answer.seconds > seconds * 0.9 && answer.seconds < seconds * 3.5
  checks.add(
    'route timeout is armed',
    answer.status === 504 && inTime,
    `a stalling upstream: ${answer.status} after ${answer.seconds.toFixed(2)} s ${answer.error}`,
  )
}

async function checkStats(
  checks: Checks,
  plan: CheckPlan,
  port: number,
  before: ReadonlyMap<string, number>,
): Promise<void> {
  const http = `http.${plan.statPrefix}`
  const upstream = `cluster.${plan.cluster}`
  const moved = [`${http}.downstream_rq_2xx`, `${http}.downstream_cx_total`, `${upstream}.upstream_rq_total`]
  if (plan.retries) moved.push(`${upstream}.upstream_rq_retry`, `${upstream}.upstream_rq_retry_success`)
  if (plan.stallSeconds !== null) moved.push(`${upstream}.upstream_rq_timeout`, `${http}.downstream_rq_5xx`)
  if (plan.stallSeconds !== null && plan.stallSeconds > 2) moved.push(`${upstream}.upstream_rq_per_try_timeout`)
  const after = await checkMoved(checks, port, before, moved)
  if (!plan.tls) return
  const handshakes = [...after].find(([name]) => /^listener\..*\.ssl\.handshake$/.test(name))
  checks.add('handshakes are counted', (handshakes?.[1] ?? 0) > 0, `${handshakes?.[0]}: ${handshakes?.[1]}`)
}

async function checkTls(checks: Checks, target: Target, answer: Answer): Promise<void> {
  const plan = target.configuration.checks
  const wanted = target.sites.certificates?.[plan.certificate].fingerprint
  checks.add('shows its certificate', answer.fingerprint === wanted, `${plan.certificate}, ${answer.fingerprint}`)
  if (!plan.clientCertificate) return
  const stranger = await ask({ ...questionFor(target, '/'), client: null, timeoutSeconds: 3 })
  checks.add(
    'refuses clients without a certificate',
    stranger.status !== 200,
    `status ${stranger.status} ${stranger.error}`,
  )
}
