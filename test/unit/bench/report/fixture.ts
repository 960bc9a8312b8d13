import type {
  BenchReport,
  CaseGroup,
  CaseResult,
  Goal,
  LatencyPoint,
  MemoryUse,
  Metric,
  PeerId,
  PeerSummary,
  Ratio,
  Round,
  Spread,
} from '../../../../bench/load/result.ts'

/** A made-up report with every kind of case: equal on every call. Figures are nobody's measurements. */
export function fixtureReport(): BenchReport {
  random = 20260101
  const cases: CaseResult[] = [
    perCpu(
      'http1-small',
      'HTTP/1.1 small requests, 32 connections',
      'http1',
      { envoy: 17000, remora: 39000, nginx: 41000, haproxy: 43000, 'http2-proxy': 9000, node: 13000 },
      goal(2.5),
    ),
    perCpu(
      'http2-small',
      'HTTP/2 small requests, 8 × 32 streams',
      'http2',
      { envoy: 20000, remora: 71000, haproxy: 92000, node: 14000 },
      goal(4),
    ),
    perCpu('grpc-unary', 'gRPC unary', 'grpc', { envoy: 18500, remora: 36000 }, goal(4)),
    perCpu('tls-http1', 'TLS, HTTP/1.1', 'tls', { envoy: 18400, remora: 17900, nginx: 25000 }, goal(1.5), 0.12),
    perCpu(
      'tls-handshake',
      'Full TLS handshakes, RSA 2048',
      'handshake',
      { envoy: 3100, remora: 1020, nginx: 2900 },
      goal(0.4),
    ),
    perCpu(
      'tcp',
      'TCP proxy, small exchanges',
      'tcp',
      { envoy: 52000, remora: 47000, nginx: 61000, haproxy: 70000 },
      goal(1),
    ),
    ...[10, 100, 1000, 2000].map((connections, i) =>
      perCpu(
        `connections-${connections}`,
        `HTTP/1.1, ${connections} connections`,
        'connections',
        { envoy: 17500 - 2300 * i, remora: 39000 - 1900 * i, nginx: 41000 - 2500 * i },
        null,
        0.03,
        {
          series: 'connections',
          axis: { name: 'connections', value: connections },
        },
      ),
    ),
    ...[1, 8, 32, 64].map((headers, i) =>
      perCpu(
        `headers-${headers}`,
        `${headers} request headers`,
        'http1',
        { envoy: 16000 / (1 + i * 0.3), remora: 38000 / (1 + i * 0.55), node: 12000 / (1 + i * 0.7) },
        null,
        0.03,
        {
          series: 'headers',
          axis: { name: 'headers', value: headers },
        },
      ),
    ),
    latency('latency-http1', 'HTTP/1.1, open loop at half of Envoy’s saturation'),
    memory('memory-idle', 'Idle, one worker', { envoy: 68, remora: 79, nginx: 9 }),
    other('ready-1000', 'Ready with 1,000 clusters', 'scale', { envoy: 1260, remora: 410 }),
    other('start', 'Start to LIVE, one cluster', 'start', { envoy: 60, remora: 118, nginx: 22 }),
  ]
  return {
    version: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    durationSeconds: 612.4,
    profile: 'standard',
    machine: {
      cpuModel: 'Example CPU @ 2.60GHz',
      cores: 2,
      kernel: 'Linux 6.1.0',
      memoryBytes: 8 * 2 ** 30,
      congestionControl: 'cubic',
      tracksConnections: false,
      pinning: { proxy: '0', load: '1', upstream: '1', batch: true },
    },
    versions: { node: 'v26.10.0', envoy: '1.40.0', nginx: 'nginx/1.22.1', wrk: '4.1.0', h2load: '1.52.0' },
    commandLine: 'remora bench --profile standard --html report.html',
    peers: PEERS.map(([id, title]) => ({
      id,
      title,
      version: title.split(' ')[1] ?? '',
      command: [id, '-c', `${id}.yaml`, '--concurrency', '1'],
      configurations: {
        default: id === 'envoy' || id === 'remora' ? 'static_resources:\n  listeners: []\n' : `# ${id}\n`,
      },
    })),
    missing: [{ program: 'traefik', how: 'apt-get install traefik' }],
    cases,
  }
}

const PEERS: readonly (readonly [PeerId, string])[] = [
  ['envoy', 'Envoy 1.40.0'],
  ['remora', 'Remora 0.1.0'],
  ['nginx', 'nginx 1.22.1'],
  ['haproxy', 'HAProxy 2.6.12'],
  ['http2-proxy', 'http2-proxy 5.0.53'],
  ['node', 'Node http 26.10.0'],
]

type Values = Partial<Record<PeerId, number>>
const ROUNDS = 5
let random = 0

/** 0 to 1, the same sequence for the same seed. */
function next(): number {
  random = (Math.imul(random, 1103515245) + 12345) >>> 0
  return random / 2 ** 32
}

function goal(value: number): Goal {
  return { kind: 'ratio', value, text: `${value} × the real Envoy` }
}

function perCpu(
  id: string,
  title: string,
  group: CaseGroup,
  values: Values,
  wanted: Goal | null,
  noise = 0.03,
  place: Pick<CaseResult, 'series' | 'axis'> = { series: null, axis: null },
): CaseResult {
  const metric = { name: 'requests per CPU-second', unit: 'req/CPU-s', higherIsBetter: true }
  return build({ id, title, group, ...place }, metric, values, wanted, noise, round => ({
    ...round,
    cpuSeconds: 4,
    count: Math.round(round.value * 4),
  }))
}

function memory(id: string, title: string, mebibytes: Values): CaseResult {
  const metric = { name: 'anonymous memory', unit: 'B', higherIsBetter: false }
  const values = Object.fromEntries(Object.entries(mebibytes).map(([peer, size]) => [peer, size * 2 ** 20 * 0.5]))
  return build({ id, title, group: 'memory', series: null, axis: null }, metric, values, null, 0.01, round => ({
    ...round,
    memory: { rssBytes: round.value * 2, pssBytes: round.value * 1.5, anonBytes: round.value },
  }))
}

function other(id: string, title: string, group: CaseGroup, values: Values): CaseResult {
  const metric = { name: 'time to ready', unit: 'ms', higherIsBetter: false }
  return build(
    { id, title, group, series: null, axis: null },
    metric,
    values,
    { kind: 'at-most', value: 100, text: 'at most 100 ms' },
    0.05,
    round => round,
  )
}

const SHAPE: readonly (readonly [percentile: number, factor: number])[] = [
  [50, 1],
  [75, 1.15],
  [90, 1.4],
  [95, 1.8],
  [97.5, 2.3],
  [99, 3.5],
  [99.5, 5],
  [99.75, 8],
  [99.9, 14],
  [99.95, 22],
  [99.99, 60],
  [100, 140],
]

function latency(id: string, title: string): CaseResult {
  const metric = { name: 'latency p50', unit: 'µs', higherIsBetter: false }
  const values = { envoy: 210, remora: 180, nginx: 120 }
  return build({ id, title, group: 'latency', series: null, axis: null }, metric, values, null, 0.03, round => ({
    ...round,
    latency: SHAPE.map(([percentile, factor]): LatencyPoint => {
      // A collector that pauses: quick in the middle, slow in the tail.
      const tail = round.peer === 'remora' && percentile >= 99.9 ? 2.2 : 1
      return { percentile, microseconds: Math.round(round.value * factor * tail) }
    }),
  }))
}

function build(
  named: Pick<CaseResult, 'id' | 'title' | 'group' | 'series' | 'axis'>,
  metric: Metric,
  values: Values,
  wanted: Goal | null,
  noise: number,
  finish: (round: Round) => Round,
): CaseResult {
  const peers = Object.keys(values) as PeerId[]
  const rounds: Round[] = []
  for (let index = 0; index < ROUNDS; index++) {
    for (const peer of peers) {
      const value = values[peer]! * (1 + (next() - 0.5) * 2 * noise)
      rounds.push(
        finish({
          peer,
          index,
          value,
          seconds: 5,
          count: 1000,
          errors: 0,
          bytes: null,
          cpuSeconds: null,
          memory: null,
          latency: null,
          extra: {},
        }),
      )
    }
  }
  return {
    ...named,
    configuration: 'default',
    load: [`wrk -t1 -c32 -d5s http://127.0.0.1:{port}/${named.id}`],
    metric,
    roundSeconds: 5,
    checks: peers.map(peer => ({
      peer,
      checks: [{ name: 'access log line written', passed: true, detail: 'GET /check 200' }],
    })),
    rounds,
    summaries: peers.map(peer =>
      summary(
        peer,
        rounds.filter(round => round.peer === peer),
      ),
    ),
    ratios: peers.filter(peer => peer !== 'remora').map(peer => ratio(rounds, peer, metric.higherIsBetter)),
    notes: [],
    goal: wanted,
  }
}

function summary(peer: PeerId, rounds: readonly Round[]): PeerSummary {
  const cpu = rounds.flatMap(round => (round.cpuSeconds === null ? [] : [(round.cpuSeconds * 1e6) / round.count]))
  return {
    peer,
    value: spread(rounds.map(round => round.value)),
    perSecond: cpu.length === 0 ? null : spread(rounds.map(round => round.count / round.seconds)),
    cpuMicrosecondsPerOperation: cpu.length === 0 ? null : spread(cpu),
    memory: rounds[0]?.memory ?? (cpu.length === 0 ? null : use(peer)),
    latency: rounds[0]?.latency ?? null,
    extra: {},
    errors: 0,
  }
}

function use(peer: PeerId): MemoryUse {
  const size = peer === 'remora' ? 84 : peer === 'envoy' ? 71 : 18
  return { rssBytes: size * 2 ** 20, pssBytes: size * 0.7 * 2 ** 20, anonBytes: size * 0.45 * 2 ** 20 }
}

function ratio(rounds: readonly Round[], to: PeerId, higherIsBetter: boolean): Ratio {
  const of = (peer: PeerId) => rounds.filter(round => round.peer === peer).map(round => round.value)
  const other = of(to)
  const values = spread(of('remora').map((own, i) => (higherIsBetter ? own / other[i]! : other[i]! / own)))
  const conclusive = values.min > 1 || values.max < 1
  return { of: 'remora', to, ...values, conclusive, why: conclusive ? null : 'the rounds do not agree who is better' }
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  return { median: sorted[sorted.length >> 1]!, min: sorted[0]!, max: sorted.at(-1)! }
}
