import { BlockList, isIP } from 'node:net'

/** Link-local addresses and the metadata services of clouds outside of them: no module is there, but the node's credentials are. */
const NEVER = ['169.254.0.0/16', '224.0.0.0/24', 'fe80::/10', 'ff02::/16', '100.100.100.200/32', 'fd00:ec2::/32']
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']
const LOCAL = [
  '127.0.0.0/8',
  '::1/128',
  '169.254.0.0/16',
  'fe80::/10',
  'ff02::/16',
  '224.0.0.0/24',
  '0.0.0.0/32',
  '::/128',
]

/** What the URL of a module must not lead to, by name, by redirect, or by the word of a registry (Istio pkg/wasm/ssrf.go). */
export class BlockedAddresses {
  readonly #list: BlockList

  constructor(more: readonly string[]) {
    this.#list = listOf([...NEVER, ...more])
  }

  has(ip: string): boolean {
    return contains(this.#list, ip)
  }
}

/** Hosts of URLs that a registry names: a public one has no reason to send the agent into the cluster or the pod. */
export function isPrivateOrLocal(host: string): boolean {
  return contains(privateOrLocal, host)
}

/** The host of a URL without the brackets of IPv6. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1')
}

const privateOrLocal = listOf([...PRIVATE, ...LOCAL])

function listOf(cidrs: readonly string[]): BlockList {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [ip = '', bits = ''] = cidr.split('/')
    list.addSubnet(ip, Number(bits), isIP(ip) === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

/** IPv4 in the notation of IPv6 counts as IPv4. */
function contains(list: BlockList, ip: string): boolean {
  const version = isIP(ip)
  return version !== 0 && list.check(ip.replace(/%.*$/, ''), version === 6 ? 'ipv6' : 'ipv4')
}
