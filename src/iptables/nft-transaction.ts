import type { NftRule, NftTable } from './nft-rules.ts'

/** In the order in which Istio writes them. */
export const NFT_TABLES: readonly NftTable[] = ['istio-proxy-nat', 'istio-proxy-mangle', 'istio-proxy-raw']

/** Chains in Istio's order; those with a hook see packets, the others are jumped to. */
const CHAINS: Readonly<Record<NftTable, readonly string[]>> = {
  'istio-proxy-nat': [
    'prerouting { type nat hook prerouting priority -100 ; }',
    'output { type nat hook output priority -100 ; }',
    'istio-inbound',
    'istio-redirect',
    'istio-in-redirect',
    'istio-output',
    'istio-output-dns',
  ],
  'istio-proxy-mangle': [
    'prerouting { type filter hook prerouting priority -150 ; }',
    'output { type route hook output priority -150 ; }',
    'istio-divert',
    'istio-tproxy',
    'istio-inbound',
    'istio-drop',
  ],
  'istio-proxy-raw': [
    'prerouting { type filter hook prerouting priority -300 ; }',
    'output { type filter hook output priority -300 ; }',
    'istio-inbound',
    'istio-output-dns',
  ],
}

/**
 * Input of `nft -f -` that replaces each table which has rules. `nft` makes it one transaction: all of it holds from
 * one packet to the next, or none. Tables without rules are not mentioned.
 */
export function nftTransaction(rules: readonly NftRule[]): string {
  let text = ''
  for (const table of NFT_TABLES) {
    const ours = rules.filter(rule => rule.table === table)
    if (ours.length === 0) continue
    text += `add table inet ${table}\nflush table inet ${table}\n`
    // Istio leaves out a chain that is jumped to and empty (resolvers of the other family only), and then fails.
    const needed = new Set(ours.flatMap(rule => [rule.chain, / jump (\S+)$/.exec(rule.text)?.[1] ?? rule.chain]))
    for (const chain of CHAINS[table]) {
      if (needed.has(chain.split(' ', 1)[0] as string)) text += `add chain inet ${table} ${chain}\n`
    }
    for (const command of ruleCommands(ours)) text += `${command}\n`
  }
  return text
}

/** Removes tables whether they exist or not: `delete` alone fails where there is none. */
export function nftDeletion(tables: readonly NftTable[]): string {
  return tables.map(table => `add table inet ${table}\ndelete table inet ${table}\n`).join('')
}

/**
 * `add rule …` and `insert rule …` in order. nft cannot insert into an empty chain, nor at or past the end: such a
 * rule is added.
 */
export function ruleCommands(rules: readonly NftRule[]): string[] {
  const counts = new Map<string, number>()
  return rules.map(({ table, chain, text, index }) => {
    const count = counts.get(`${table} ${chain}`) ?? 0
    counts.set(`${table} ${chain}`, count + 1)
    return index !== undefined && index < count
      ? `insert rule inet ${table} ${chain} index ${index} ${text}`
      : `add rule inet ${table} ${chain} ${text}`
  })
}
