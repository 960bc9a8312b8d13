type Metadata = Readonly<Record<string, unknown>>

const ORIGINAL_DST = 'envoy.filters.listener.original_dst'

/**
 * IP address under which workload discovery knows the workload behind an upstream host; '' = under none. A tunnel's host is an
 * internal listener, and its metadata says where the tunnel leads.
 *
 * @param host `StreamInfo.upstreamHost`
 */
export function upstreamPeerAddress(host: string, metadata: Metadata | null): string {
  if (!host.startsWith('envoy://')) return ipOf(host)
  const own = metadata?.[ORIGINAL_DST] as Metadata | undefined
  const local = own?.['local']
  return typeof local === 'string' ? ipOf(local) : ''
}

/** The host stands for a gateway to another network: who is behind it is not known here. */
export function isBehindGateway(metadata: Metadata | null): boolean {
  const own = metadata?.['istio'] as Metadata | undefined
  return own?.['double_hbone'] !== undefined
}

/** Of `1.2.3.4:80` or `[::1]:80`. */
function ipOf(text: string): string {
  const ip = text.slice(0, Math.max(0, text.lastIndexOf(':')))
  return ip.startsWith('[') ? ip.slice(1, -1) : ip
}
