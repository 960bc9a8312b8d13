import { log } from '../agent/log.ts'
import { type Commands, IptablesError } from './commands.ts'
import type { IptablesConfig } from './config.ts'
import { explainNft } from './nft-advice.ts'
import { buildNftRules, type NftTable } from './nft-rules.ts'
import { NFT_TABLES, nftDeletion, nftTransaction } from './nft-transaction.ts'

/**
 * Brings the network namespace to the configured rules with nft. Every run replaces Istio's tables whole in one
 * transaction, so there is no half state, nothing to reconcile and nothing that --force-apply could force: two equal
 * runs leave one set. A table of an earlier run that has no rules now goes with it. Throws IptablesError.
 */
export function applyNft(config: IptablesConfig, commands: Commands): void {
  const present = presentTables(commands)
  warnOfIptablesRules(commands)
  if (config.cleanupOnly) {
    log.info('Performing cleanup of existing nftables')
    run(nftDeletion(NFT_TABLES), commands)
    return
  }
  const wanted = nftTransaction(buildNftRules(config))
  const stale = present.filter(table => !wanted.includes(`add table inet ${table}\n`))
  if (stale.length > 0) log.info(`Removing nftables tables of an earlier configuration: ${stale.join(', ')}`)
  else if (present.length > 0) log.info('Replacing the nftables rules that are in place')
  run(wanted + nftDeletion(stale), commands)
  log.info(`nftables rules programmed:\n${wanted}`)
}

function run(input: string, commands: Commands): void {
  const result = commands.nft(['-f', '-'], input)
  if (!result.ok) throw new IptablesError(explainNft(result.stderr, input))
}

function presentTables(commands: Commands): NftTable[] {
  const listed = commands.nft(['list', 'tables', 'inet'])
  if (!listed.ok) throw new IptablesError(explainNft(listed.stderr, ''))
  const names = new Set(listed.stdout.split('\n').map(line => /^table inet (\S+)/.exec(line)?.[1]))
  return NFT_TABLES.filter(table => names.has(table))
}

/** Both sets would redirect each connection, and the second would see the first one's work. */
function warnOfIptablesRules(commands: Commands): void {
  const listed = commands.nft(['list', 'chains'])
  if (listed.ok && /^\s*chain ISTIO_/m.test(listed.stdout)) {
    log.warn(
      'Istio rules made by iptables are in place as well. Remove them: pilot-agent istio-iptables --cleanup-only without --native-nftables',
    )
  }
}
