import { spawnSync } from 'node:child_process'

export type Tool = 'iptables' | 'save' | 'restore'

/** A set of binaries of one flavour and one IP family, and what was found out about it. */
export interface Binaries {
  readonly base: string
  /** `1.8.9`; `0.0.0` when the binary is too old to say. */
  readonly version: string
  readonly legacy: boolean
}

export interface CommandResult {
  readonly ok: boolean
  readonly stdout: string
  readonly stderr: string
}

/** The outside world of `apply`: real processes, or the recorder behind `--dry-run` and the golden tests. */
export interface Commands {
  /** Throws IptablesError when no usable binary exists. */
  detect(ipv6: boolean): Binaries
  run(tool: Tool, binaries: Binaries, args: readonly string[], stdin?: string): CommandResult
  nft(args: readonly string[], stdin?: string): CommandResult
}

/** Something outside failed. The message says what to install, load or grant. */
export class IptablesError extends Error {
  override readonly name = 'IptablesError'
}

export function binaryName(tool: Tool, binaries: Binaries): string {
  return tool === 'iptables' ? binaries.base : `${binaries.base}-${tool}`
}

export class RealCommands implements Commands {
  readonly #force: string
  readonly #lockFile: string

  /**
   * `force`: `legacy`, `nft` or empty. `lockFile` replaces the node's xtables lock if not empty: a CNI plugin works in
   * the pod's network but sees the node's files, where kube-proxy may hold the lock for long.
   */
  constructor(force: string, lockFile = '') {
    this.#force = force
    this.#lockFile = lockFile
  }

  /**
   * Istio's order: legacy if legacy rules exist here (both flavours would otherwise act on a packet), else nft if the
   * kernel has it, else whatever plain `iptables` is.
   */
  detect(ipv6: boolean): Binaries {
    const plain = ipv6 ? 'ip6tables' : 'iptables'
    if (this.#force !== '') return probe(`${plain}-${this.#force}`)
    const failures: string[] = []
    const attempt = (base: string): Binaries | undefined => {
      try {
        return probe(base)
      } catch (error) {
        if (!(error instanceof IptablesError)) throw error
        failures.push(error.message)
        return undefined
      }
    }
    // Probing creates the legacy table, which then stays: look first, probe only what will be used.
    const legacy = hasRules(`${plain}-legacy`) ? attempt(`${plain}-legacy`) : undefined
    const found = legacy ?? attempt(`${plain}-nft`) ?? attempt(plain) ?? attempt(`${plain}-legacy`)
    if (found === undefined) throw new IptablesError([...new Set(failures)].join('\n'))
    return found
  }

  run(tool: Tool, binaries: Binaries, args: readonly string[], stdin?: string): CommandResult {
    // Only legacy takes a lock, and only since 1.6.2 can it wait for it.
    const wait = tool !== 'save' && binaries.legacy && atLeast(binaries.version, [1, 6, 2]) ? ['--wait=30'] : []
    return execute(binaryName(tool, binaries), [...args, ...wait], stdin, this.#lockFile)
  }

  nft(args: readonly string[], stdin?: string): CommandResult {
    return execute('nft', args, stdin)
  }
}

/** `--dry-run`: runs nothing and pretends that every command worked and printed nothing. */
export class DryRunCommands implements Commands {
  /** Command lines and restore input lines, in the order in which they would have run. */
  readonly executed: string[] = []

  detect(ipv6: boolean): Binaries {
    return { base: ipv6 ? 'ip6tables' : 'iptables', version: '0.0.0', legacy: false }
  }

  run(tool: Tool, binaries: Binaries, args: readonly string[], stdin?: string): CommandResult {
    if (stdin === undefined) this.executed.push([binaryName(tool, binaries), ...args].join(' '))
    else this.executed.push(...stdin.split('\n').slice(0, -1))
    return { ok: true, stdout: '', stderr: '' }
  }

  nft(_args: readonly string[], stdin?: string): CommandResult {
    if (stdin !== undefined) this.executed.push(...stdin.split('\n').slice(0, -1))
    return { ok: true, stdout: '', stderr: '' }
  }
}

// 255 is a protocol number nobody uses: the rule matches nothing, but the kernel must have the table to take it.
const PROBE_RULE = ['INPUT', '-p', '255', '-j', 'RETURN']
const COMMAND_TIMEOUT_MS = 40_000

function probe(base: string): Binaries {
  const save = execute(`${base}-save`, [])
  if (!save.ok) throw new IptablesError(explain(`${base}-save`, save.stderr))
  const versionText = execute(`${base}-save`, ['--version'])
  const version = /v([0-9]+(?:\.[0-9]+)+)/.exec(versionText.stdout)?.[1] ?? '0.0.0'
  const legacy = !versionText.stdout.includes('nf_tables')
  const wait = legacy && atLeast(version, [1, 6, 2]) ? ['--wait=30'] : []
  const added = execute(base, ['-t', 'nat', '-A', ...PROBE_RULE, ...wait])
  if (!added.ok || added.stderr.includes('does not exist')) throw new IptablesError(explain(base, added.stderr))
  execute(base, ['-t', 'nat', '-D', ...PROBE_RULE, ...wait])
  return { base, version, legacy }
}

/**
 * Istio counts lines of the dump, so a legacy table that is there but empty (its own probe leaves one) makes its next
 * run choose legacy and apply a second set beside the nft one. Only rules count here.
 */
function hasRules(base: string): boolean {
  return /^-A /m.test(execute(`${base}-save`, []).stdout)
}

function execute(file: string, args: readonly string[], stdin?: string, lockFile = ''): CommandResult {
  const done = spawnSync(file, args, {
    input: stdin ?? '',
    // Known since iptables 1.8.6; an older one waits for the node's lock.
    ...(lockFile === '' ? {} : { env: { ...process.env, XTABLES_LOCKFILE: lockFile } }),
    encoding: 'utf8',
    timeout: COMMAND_TIMEOUT_MS,
    maxBuffer: 64 << 20,
  })
  if (done.error !== undefined) {
    const code = (done.error as NodeJS.ErrnoException).code
    return { ok: false, stdout: '', stderr: code === 'ENOENT' ? `${file}: not found in PATH` : done.error.message }
  }
  return { ok: done.status === 0, stdout: done.stdout, stderr: done.stderr.trim() }
}

function atLeast(version: string, wanted: readonly number[]): boolean {
  const parts = version.split('.').map(Number)
  for (let i = 0; i < wanted.length; i++) {
    const difference = (parts[i] ?? 0) - (wanted[i] as number)
    if (difference !== 0) return difference > 0
  }
  return true
}

/** What a failed iptables command means and what to do about it. The tool's own words are always kept. */
export function explain(command: string, stderr: string): string {
  const advice = adviceFor(command, stderr)
  return `${command} failed: ${stderr === '' ? 'no output' : stderr}${advice === '' ? '' : `\n  → ${advice}`}`
}

function adviceFor(command: string, stderr: string): string {
  const family = command.startsWith('ip6') ? 'ip6' : 'ip'
  if (/not found in PATH/.test(stderr)) return 'install the iptables package in this image, or put its folder on PATH'
  if (/must be root|Permission denied|Operation not permitted/i.test(stderr)) {
    return 'capability NET_ADMIN (and NET_RAW for legacy) is missing: run as uid 0 with securityContext.capabilities.add [NET_ADMIN, NET_RAW], or use the CNI plugin'
  }
  const table = /can't initialize ip6?tables table `(\w+)'/.exec(stderr)?.[1]
  if (table !== undefined)
    return `kernel module ${family}table_${table} is missing on the node: modprobe ${family}table_${table}`
  const extension = /(?:Couldn't load (?:match|target) `|Extension )(\w+)/.exec(stderr)?.[1]
  if (extension !== undefined) return `kernel module xt_${extension} is missing on the node: modprobe xt_${extension}`
  if (/Chain already exists/.test(stderr)) {
    return 'other Istio rules are in place already: pass --reconcile to replace them, or --cleanup-only to remove them'
  }
  if (/xtables lock/.test(stderr)) return 'another process holds the xtables lock (kube-proxy, a CNI plugin): try again'
  if (/No chain\/target\/match by that name|RULE_APPEND failed/.test(stderr)) {
    return 'the kernel lacks a match or target of this rule: load xt_owner, xt_REDIRECT, xt_multiport, xt_conntrack, xt_TPROXY'
  }
  if (/Could not fetch rule set generation id|Protocol not supported/.test(stderr)) {
    return 'the kernel has no nf_tables: pass --force-iptables-binary=legacy'
  }
  return ''
}
