import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BenchCase } from './case.ts'
import { CASES, selectCases } from './cases/all.ts'
import { allowedCpus, describeMachine } from './machine.ts'
import { type BenchOptions, OptionError, parseOptions, USAGE } from './options.ts'
import { toCsv } from './output/csv.ts'
import { Progress } from './output/progress.ts'
import { findPeers, schedulingTools, versionLine } from './peers/find.ts'
import type { PeerProgram } from './peers/peer.ts'
import { choosePinning, NOT_PINNED } from './pinning.ts'
import { inClone, packageRoot } from './place.ts'
import { Leftovers } from './processes/leftovers.ts'
import type { BenchReport, CaseResult, Peer } from './result.ts'
import { growthLines } from './runner/across.ts'
import { runAll } from './runner/run-all.ts'
import { Session } from './runner/session.ts'
import { userCase } from './user/case.ts'

/** `remora bench`. Resolves to the exit status: 0 also when nothing could be measured here, which is then said. */
export async function benchMain(argv: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(argv, process.env)
    if (options.help) process.stdout.write(USAGE)
    else if (options.list) for (const one of CASES) print(`${one.id.padEnd(26)} ${one.from.padEnd(9)} ${one.title}\n`)
    else return await bench(options, argv)
    return 0
  } catch (error) {
    if (!(error instanceof OptionError)) throw error
    process.stderr.write(`Error: ${error.message}\n`)
    return 1
  }
}

const TRACKED =
  'note: netfilter follows connections here (NAT rules, as podman, docker and kube-proxy leave them: `nft list ruleset`): ' +
  'each packet costs all proxies more, and the ratios lie closer together\n'

/** Programs beside the proxies: what they are needed for and how they are got. */
const TOOLS: readonly { readonly program: string; readonly version: readonly string[]; readonly how: string }[] = [
  { program: 'nginx', version: ['nginx', '-v'], how: 'apt-get install nginx' },
  { program: 'wrk', version: ['wrk', '-v'], how: 'apt-get install wrk' },
  { program: 'h2load', version: ['h2load', '--version'], how: 'apt-get install nghttp2-client' },
  { program: 'openssl', version: ['openssl', 'version'], how: 'apt-get install openssl' },
  { program: 'taskset', version: ['taskset', '--version'], how: 'apt-get install util-linux' },
  { program: 'chrt', version: ['chrt', '--version'], how: 'apt-get install util-linux' },
]

async function bench(options: BenchOptions, argv: readonly string[]): Promise<number> {
  if (process.platform !== 'linux') {
    print('bench: CPU and memory of the proxies are read from /proc, which only Linux has. Nothing measured.\n')
    return 0
  }
  const startedAt = new Date()
  const versions: Record<string, string> = { node: process.version }
  const missing: { program: string; how: string }[] = []
  for (const { program, version, how } of TOOLS) {
    const line = versionLine(version)
    if (line === null) missing.push({ program, how })
    else versions[program] = line
  }
  if (versions['nginx'] === undefined) {
    print('bench: nginx, the upstream, is not here (apt-get install nginx). Nothing measured.\n')
    return 0
  }
  const found = findPeers({ envoy: options.envoy, otherRemora: options.remora })
  missing.push(...found.missing.filter(one => missing.every(other => other.program !== one.program)))
  for (const peer of found.peers) versions[peer.id] = peer.version
  for (const { program, how } of missing) print(`bench: no ${program}: ${how}\n`)

  const wanted = options.config === '' ? selectCases(options.profile, options.only) : [userCase(options)]
  const cases = wanted.filter(one => has(one, versions))
  if (cases.length === 0) {
    print(wanted.length === 0 ? 'bench: no such case; --list names them\n' : 'bench: nothing can be measured here\n')
    return wanted.length === 0 ? 1 : 0
  }

  const pinning = options.pins ? choosePinning(allowedCpus(), schedulingTools()) : NOT_PINNED
  const session = new Session(pinning, options.firstPort)
  const leftovers = new Leftovers()
  leftovers.add({ stop: () => session.close() })
  const progress = new Progress(print, process.stderr.isTTY === true)
  try {
    await session.open(cases.some(one => one.configuration.tls))
    const results = await runAll(cases, found.peers, options, session, progress)
    const growth = growthLines(results)
    progress.end(growth)
    const report: BenchReport = {
      version: 1,
      startedAt: startedAt.toISOString(),
      durationSeconds: Math.round((Date.now() - startedAt.getTime()) / 1000),
      profile: options.config === '' && options.only.length === 0 ? options.profile : 'custom',
      machine: describeMachine(pinning),
      versions,
      commandLine: ['remora', 'bench', ...argv].join(' '),
      peers: found.peers.filter(peer => session.commands.has(peer.id)).map(peer => describePeer(peer, session)),
      missing,
      cases: results,
    }
    if (report.machine.tracksConnections) print(TRACKED)
    if (options.writesFiles) await writeFiles(report, options)
    const broken = hasRemora(options) ? results.filter(one => !remoraWorks(one)) : []
    for (const one of broken) print(`bench: Remora does not do what ${one.id} asks for; see its notes\n`)
    return broken.length > 0 ? 1 : 0
  } finally {
    await session.close()
    await leftovers.release()
  }
}

/** It was measured, and passed every check. */
function remoraWorks(one: CaseResult): boolean {
  const checks = one.checks.find(({ peer }) => peer === 'remora')?.checks ?? []
  return one.rounds.some(round => round.peer === 'remora') && checks.every(check => check.passed)
}

function hasRemora(options: BenchOptions): boolean {
  return options.peers.length === 0 || options.peers.includes('remora')
}

function has(one: BenchCase, versions: Readonly<Record<string, string>>): boolean {
  const lacking = one.needs.filter(program => versions[program] === undefined)
  if (lacking.length > 0) print(`bench: ${one.id} is left out, it needs ${lacking.join(' and ')}\n`)
  return lacking.length === 0
}

function describePeer(peer: PeerProgram, session: Session): Peer {
  return {
    id: peer.id,
    title: peer.title,
    version: peer.version,
    command: session.commands.get(peer.id) ?? [],
    configurations: session.configurations.get(peer.id) ?? {},
  }
}

async function writeFiles(report: BenchReport, options: BenchOptions): Promise<void> {
  const folder = options.output !== '' ? options.output : inClone ? join(packageRoot, 'bench/results') : 'remora-bench'
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'result.json'), `${JSON.stringify(report, null, 1)}\n`)
  writeFileSync(join(folder, 'result.csv'), toCsv(report))
  const { renderReport } = await import('./report/render.ts')
  writeFileSync(join(folder, 'report.html'), renderReport(report))
  print(`\n${join(folder, 'report.html')}, result.json, result.csv\n`)
}

function print(text: string): void {
  process.stdout.write(text)
}
