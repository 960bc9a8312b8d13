/** What a failed `nft` means and what to do about it. `input` is what was fed to it; nft's own words are kept. */
export function explainNft(stderr: string, input: string): string {
  const number = /^\/dev\/stdin:(\d+)|^-:(\d+)|:(\d+):\d+-\d+: Error/m.exec(stderr)
  const at = number === null ? undefined : Number(number[1] ?? number[2] ?? number[3])
  const line = at === undefined ? undefined : input.split('\n')[at - 1]
  const where = line === undefined || stderr.includes(line) ? '' : `\n  line ${at}: ${line}`
  const advice = adviceFor(stderr, line ?? input)
  return `nft failed: ${stderr === '' ? 'no output' : stderr}${where}${advice === '' ? '' : `\n  → ${advice}`}`
}

/** Kernel module behind each expression that Istio's rules use, the rarest first; the rest is in nf_tables itself. */
const MODULES: readonly (readonly [RegExp, string])[] = [
  [/\btproxy (ip|ip6) to\b/, 'nft_tproxy'],
  [/\bredirect to\b/, 'nft_redir'],
  [/\bct (state|zone|mark)\b/, 'nft_ct'],
  [/\btype nat\b/, 'nft_chain_nat'],
  [/^add table inet/, 'nf_tables_inet'],
]

function adviceFor(stderr: string, line: string): string {
  if (/not found in PATH/.test(stderr)) {
    return 'nativeNftables is enabled, but the nft binary is missing in the sidecar container image: install the nftables package, or use iptables'
  }
  if (/Operation not permitted|Permission denied|must be root/i.test(stderr)) {
    return 'capability NET_ADMIN is missing: run as uid 0 with securityContext.capabilities.add [NET_ADMIN, NET_RAW], or use the CNI plugin'
  }
  if (/Unable to initialize Netlink socket|Protocol not supported|cache initialization failed/.test(stderr)) {
    return 'kernel module nf_tables is missing on the node: modprobe nf_tables'
  }
  if (/user does not exist|group does not exist/.test(stderr)) {
    return 'this image does not know the group by name: use its GID in ISTIO_OUTBOUND_OWNER_GROUPS[_EXCLUDE]'
  }
  if (/No such file or directory|Operation not supported|Could not process rule/.test(stderr)) {
    for (const [expression, module] of MODULES) {
      if (expression.test(line)) return `kernel module ${module} is missing on the node: modprobe ${module}`
    }
  }
  return ''
}
