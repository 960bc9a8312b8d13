import type { Rule } from './rules.ts'

const BUILT_IN = new Set(['INPUT', 'OUTPUT', 'FORWARD', 'PREROUTING', 'POSTROUTING', 'ACCEPT', 'RETURN', 'DROP'])

/** iptables-restore input, one transaction per table, tables in name order (as Istio prints it); empty without rules. */
export function restoreText(rules: readonly Rule[]): string {
  const tables = new Map<string, string[]>()
  for (const { table, text } of statements(rules)) {
    const lines = tables.get(table)
    if (lines === undefined) tables.set(table, [text])
    else lines.push(text)
  }
  let text = ''
  for (const table of [...tables.keys()].sort()) {
    text += `* ${table}\n${(tables.get(table) as string[]).join('\n')}\nCOMMIT\n`
  }
  return text
}

/** `-N` for each chain that is not built in, then the rules, all in order. */
export function statements(rules: readonly Rule[]): { table: string; text: string }[] {
  const list: { table: string; text: string }[] = []
  const known = new Set<string>()
  const declare = (table: string, chain: string): void => {
    if (known.has(`${chain}:${table}`)) return
    known.add(`${chain}:${table}`)
    if (!BUILT_IN.has(chain)) list.push({ table, text: `-N ${chain}` })
  }
  for (const rule of rules) declare(rule.table, rule.chain)
  for (const rule of rules) {
    // A chain may be jumped to and have no rule of its own; restore fails unless it exists.
    if (rule.spec.at(-2) === '-j') declare(rule.table, rule.spec.at(-1) as string)
  }
  for (const rule of rules) list.push({ table: rule.table, text: rule.spec.join(' ') })
  return list
}

/** `iptables -C …` arguments that succeed when the rule is in place. */
export function checkCommands(rules: readonly Rule[]): string[][] {
  return rules.map(rule => ['-t', rule.table, ...withVerb(rule, '-C')])
}

/**
 * `iptables …` arguments that take the rules away again, last first. Rules inside ISTIO_ chains go with a flush of
 * the chain, except jumps to another ISTIO_ chain: a chain that is still referenced cannot be deleted.
 */
export function cleanupCommands(rules: readonly Rule[]): string[][] {
  const commands: string[][] = []
  const reversed = [...rules].reverse()
  for (const rule of reversed) {
    const jump = rule.spec.indexOf('-j')
    const jumpsToOurs = jump >= 0 && (rule.spec[jump + 1] ?? '').startsWith('ISTIO_')
    if (rule.chain.startsWith('ISTIO_') && !jumpsToOurs) continue
    commands.push(['-t', rule.table, ...withVerb(rule, '-D')])
  }
  const done = new Set<string>()
  for (const rule of reversed) {
    const key = `${rule.chain}:${rule.table}`
    if (BUILT_IN.has(rule.chain) || done.has(key)) continue
    done.add(key)
    commands.push(['-t', rule.table, '-F', rule.chain], ['-t', rule.table, '-X', rule.chain])
  }
  return commands
}

/**
 * `iptables …` arguments that remove what `iptables-save` still shows of ISTIO_ chains: those of other flags (TPROXY
 * before, REDIRECT now) are in tables that the rules of this run do not even name.
 */
export function leftoverCommands(saved: string): string[][] {
  const jumps: string[][] = []
  const flushes: string[][] = []
  const deletions: string[][] = []
  let table = ''
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim()
    const chain = /^:(ISTIO_\S+)/.exec(line)?.[1]
    if (chain !== undefined) {
      flushes.push(['-t', table, '-F', chain])
      deletions.push(['-t', table, '-X', chain])
    }
    // A quoted argument (a comment) is somebody else's rule.
    if (/^-A (?!ISTIO_)[^"]* -j ISTIO_/.test(line)) jumps.push(['-t', table, '-D', ...line.split(' ').slice(1)])
  }
  return [...jumps, ...flushes, ...deletions]
}

/** table → chain → number of rules; our chains always, built-in chains only where they hold a rule. */
export type TableState = ReadonlyMap<string, ReadonlyMap<string, number>>

/** Reads iptables-save output or restore input. Only counts: rules do not survive the kernel letter by letter. */
export function readState(text: string): TableState {
  const state = new Map<string, Map<string, number>>()
  for (const table of ['filter', 'nat', 'mangle', 'raw']) state.set(table, new Map())
  let chains: Map<string, number> | undefined
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#') || line === 'COMMIT') continue
    if (line.startsWith('*')) {
      chains = state.get(line.slice(1).trim())
      continue
    }
    if (chains === undefined) continue
    if (line.startsWith(':ISTIO')) {
      const chain = (line.slice(1).split(' ', 1)[0] as string).trim()
      if (!chains.has(chain)) chains.set(chain, 0)
      continue
    }
    const match = /^-(-append|-insert|A|I|N|-new) (\S+)/.exec(line)
    if (match === null) continue
    const chain = (match[2] as string).replaceAll(/['"]/g, '')
    const adds = match[1] !== 'N' && match[1] !== '-new'
    chains.set(chain, (chains.get(chain) ?? 0) + (adds ? 1 : 0))
  }
  return state
}

export function isEmptyState(state: TableState): boolean {
  for (const chains of state.values()) if (chains.size > 0) return false
  return true
}

/** True when chains are missing, extra, or hold another number of rules than `expected` says. */
export function differs(expected: TableState, current: TableState): boolean {
  for (const [table, chains] of expected) {
    const now = current.get(table)
    if (now === undefined) return true
    for (const [chain, count] of chains) {
      const found = now.get(chain)
      if (found === undefined || (chain.startsWith('ISTIO_') && found !== count)) return true
    }
  }
  for (const [table, chains] of current) {
    for (const chain of chains.keys()) {
      if (chain.startsWith('ISTIO_') && !expected.get(table)?.has(chain)) return true
    }
  }
  return false
}

function withVerb(rule: Rule, verb: string): readonly string[] {
  // `-I CHAIN POSITION …`: a check or a deletion takes no position.
  const rest = rule.spec[0] === '-I' ? rule.spec.slice(3) : rule.spec.slice(2)
  return [verb, rule.chain, ...rest]
}
