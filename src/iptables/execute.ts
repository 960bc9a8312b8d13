import { log } from '../agent/log.ts'
import { type Binaries, binaryName, type Commands, explain, IptablesError } from './commands.ts'
import type { IptablesConfig } from './config.ts'
import {
  checkCommands,
  cleanupCommands,
  differs,
  isEmptyState,
  leftoverCommands,
  readState,
  restoreText,
} from './restore.ts'
import { buildRules, type Rule } from './rules.ts'

/**
 * Brings the network namespace of this process to the configured rules. Running it twice leaves one set; a failure
 * half way leaves none of the new rules. Throws IptablesError.
 */
export function apply(config: IptablesConfig, commands: Commands): void {
  const families = detectFamilies(config, commands)
  try {
    const { residue, delta } = inspect(families, commands)
    if (residue && delta && !config.reconcile) {
      log.info(
        'reconcile is recommended but no-reconcile flag is set. Unexpected behavior may occur due to preexisting iptables rules',
      )
    }
    const active = families.filter(family => family.enabled)
    const replace = residue && delta && config.reconcile
    if (config.cleanupOnly) {
      removeRules(active, commands, true)
    } else if (replace) {
      withGuardrails(active, commands, () => {
        removeRules(active, commands, true)
        restore(active, commands)
      })
    } else if (delta || config.forceApply) {
      restore(active, commands)
      if (!delta) log.warn('The forced apply of iptables changes succeeded despite the presence of conflicting rules')
    }
  } finally {
    for (const family of families) {
      if (!family.enabled || family.binaries === undefined) continue
      const state = commands.run('save', family.binaries, [])
      if (state.ok) log.info(`Final iptables state (${family.label}):\n${state.stdout}`)
    }
  }
}

interface Family {
  readonly label: 'IPv4' | 'IPv6'
  readonly enabled: boolean
  readonly rules: readonly Rule[]
  readonly binaries: Binaries | undefined
}

function detectFamilies(config: IptablesConfig, commands: Commands): readonly Family[] {
  const rules = buildRules(config)
  const v4 = commands.detect(false)
  let v6: Binaries | undefined
  try {
    v6 = commands.detect(true)
  } catch (error) {
    if (config.enableIpv6 || !(error instanceof IptablesError)) throw error
    log.warn(
      `Failed to detect a working ip6tables binary; continuing because IPv6 support is disabled (ENABLE_INBOUND_IPV6=false): ${error.message}`,
    )
  }
  return [
    { label: 'IPv4', enabled: true, rules: rules.v4, binaries: v4 },
    { label: 'IPv6', enabled: config.enableIpv6, rules: rules.v6, binaries: v6 },
  ]
}

/** residue: rules of an earlier run are here; delta: what is here is not what is wanted. */
function inspect(families: readonly Family[], commands: Commands): { residue: boolean; delta: boolean } {
  let residue = false
  let delta = false
  for (const family of families) {
    const expected = readState(restoreText(family.rules))
    const planned = !isEmptyState(expected)
    const saved = family.binaries === undefined ? undefined : commands.run('save', family.binaries, [])
    if (saved === undefined || !saved.ok) {
      if (family.enabled) log.warn(`[${family.label}] iptables-save failed. Assuming clean state.`)
      delta ||= planned
      continue
    }
    const current = readState(saved.stdout)
    if (isEmptyState(current)) {
      delta ||= planned
      continue
    }
    if (planned) residue = true
    else log.info(`Ignoring residues because no rules are planned for ${family.label}`)
    // Where nothing is planned nothing can be wrong; Istio counts it and then finds nothing to do.
    if (planned) delta ||= differs(expected, current) || !allInPlace(family, commands)
  }
  if (!residue) {
    log.info('Clean-state detected, new iptables are needed')
    return { residue: false, delta: true }
  }
  log.info(
    delta
      ? 'Found residues of old iptables rules/chains, reconciliation is recommended'
      : 'Found compatible residues of old iptables rules/chains, reconciliation not needed',
  )
  return { residue, delta }
}

function allInPlace(family: Family, commands: Commands): boolean {
  const binaries = family.binaries as Binaries
  return checkCommands(family.rules).every(args => commands.run('iptables', binaries, args).ok)
}

function restore(families: readonly Family[], commands: Commands): void {
  log.info('Applying iptables chains and rules')
  const applied: Family[] = []
  for (const family of families) {
    const binaries = family.binaries as Binaries
    const input = restoreText(family.rules)
    log.info(
      `Running iptables restore with: ${binaryName('restore', binaries)} and the following input:\n${input.trim()}`,
    )
    const result = commands.run('restore', binaries, ['--noflush'], input)
    if (!result.ok) {
      // Each table is one transaction, but nat may be in when raw fails: half a set captures traffic nobody serves.
      // Chains of another set that were here before are not ours to remove.
      if (!/Chain already exists/.test(result.stderr)) removeRules([...applied, family], commands, false)
      else removeRules(applied, commands, false)
      throw new IptablesError(explain(binaryName('restore', binaries), withLine(result.stderr, input)))
    }
    applied.push(family)
  }
}

/** `everything`: rules of other configurations too, and not only those that this run would make. */
function removeRules(families: readonly Family[], commands: Commands, everything: boolean): void {
  if (families.length > 0) log.info('Performing cleanup of existing iptables')
  for (const family of families) {
    const binaries = family.binaries as Binaries
    // Best effort: part of the set may be missing.
    for (const args of cleanupCommands(family.rules)) commands.run('iptables', binaries, args)
    if (!everything) continue
    const left = commands.run('save', binaries, [])
    for (const args of leftoverCommands(left.stdout)) commands.run('iptables', binaries, args)
  }
}

/** While rules are replaced nothing may pass uncaptured: the proxy may be the pod's only authorisation. */
function withGuardrails(families: readonly Family[], commands: Commands, work: () => void): void {
  log.info('Setting up guardrails')
  const each = (verb: readonly string[]): void => {
    for (const family of families) {
      for (const chain of ['INPUT', 'FORWARD', 'OUTPUT']) {
        for (const protocol of ['tcp', 'udp']) {
          const position = verb[0] === '-I' ? ['1'] : []
          const args = ['-t', 'filter', ...verb, chain, ...position, '-p', protocol, '-j', 'DROP']
          const result = commands.run('iptables', family.binaries as Binaries, args)
          if (verb[0] === '-I' && !result.ok) throw new IptablesError(explain('iptables guardrail', result.stderr))
        }
      }
    }
  }
  // Left over from a run that was killed in between.
  each(['-D'])
  try {
    each(['-I'])
    work()
  } finally {
    log.info('Removing guardrails')
    each(['-D'])
  }
}

/** iptables-restore names only the number of the line it stumbled over. */
function withLine(stderr: string, input: string): string {
  const number = /line:? (\d+)/.exec(stderr)?.[1]
  const line = number === undefined ? undefined : input.split('\n')[Number(number) - 1]
  return line === undefined ? stderr : `${stderr}\n  line ${number}: ${line}`
}
