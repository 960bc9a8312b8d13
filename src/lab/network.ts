import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { networkInterfaces } from 'node:os'

/** One simulated pod: a network namespace with `eth0` on the lab's bridge. */
export interface NetworkNode {
  readonly namespace: string
  readonly address: string
  readonly address6: string
}

/** The machine refused; the message names the missing right or package. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError'
}

/**
 * A private Ethernet made of network namespaces. The bridge has a namespace of its own, so this machine sees one veth
 * interface and one route at the most; everything goes away with the namespaces. Names carry the pid of the owner:
 * two labs can run at once, and `sweep` can tell what a killed one left behind.
 */
export class Network {
  /** IPv4 address of this machine on the bridge: what nodes reach it by. */
  readonly hostAddress: string
  readonly #prefix: string
  readonly #subnet: string
  readonly #subnet6: string
  readonly #switch: string
  readonly #namespaces: string[] = []
  #hostInterface = ''
  #next = 10

  /** `prefix` is `remora-lab` or a test's own; at most 24 characters. Throws NetworkError. */
  constructor(prefix: string) {
    this.#prefix = `${prefix}-${process.pid}`
    this.#subnet = freeSubnet()
    this.#subnet6 = `fd52:${this.#subnet.split('.').slice(1).map(hex).join(':')}:`
    this.hostAddress = `${this.#subnet}.1`
    this.#switch = `${this.#prefix}-switch`
    try {
      this.#addNamespace(this.#switch)
      const host = interfaceName('h')
      ip([], [`link add ${host} type veth peer name host netns ${this.#switch}`])
      this.#hostInterface = host
      ip(['-n', this.#switch], ['link add br0 type bridge', 'link set br0 up', 'link set host master br0 up'])
      ip([], [`addr add ${this.hostAddress}/24 dev ${host}`, `link set ${host} up`])
    } catch (error) {
      this.close()
      throw error
    }
  }

  addNode(name: string): NetworkNode {
    const namespace = `${this.#prefix}-${name}`
    const number = this.#next++
    const node = { namespace, address: `${this.#subnet}.${number}`, address6: `${this.#subnet6}:${number}` }
    this.#addNamespace(namespace)
    ip(['-n', namespace], [`link add eth0 type veth peer name p${number} netns ${this.#switch}`])
    ip(['-n', this.#switch], [`link set p${number} master br0 up`])
    ip(
      ['-n', namespace],
      [
        `addr add ${node.address}/24 dev eth0`,
        // Without nodad the address is tentative for a second and cannot be bound.
        ...(ipv6Available() ? [`addr add ${node.address6}/64 dev eth0 nodad`] : []),
        'link set eth0 up',
        `route add default via ${this.hostAddress}`,
      ],
    )
    return node
  }

  /** An address in the subnet that no node has: a service VIP. */
  addVip(): string {
    return `${this.#subnet}.${100 + this.#next++}`
  }

  /** Idempotent; never throws: it runs on the way out. Processes in the namespaces must have been ended before. */
  close(): void {
    // The kernel takes a namespace apart some time later; the interface on this machine's side goes now.
    if (this.#hostInterface !== '') spawnSync('ip', ['link', 'del', this.#hostInterface])
    this.#hostInterface = ''
    for (const namespace of this.#namespaces.splice(0).reverse()) removeNamespace(namespace)
  }

  #addNamespace(namespace: string): void {
    ip([], [`netns add ${namespace}`])
    this.#namespaces.push(namespace)
    ip(['-n', namespace], ['link set lo up'])
  }
}

/** argv that runs a command inside a namespace. */
export function inNamespace(namespace: string, argv: readonly string[]): string[] {
  return ['ip', 'netns', 'exec', namespace, ...argv]
}

/** undefined when this process can make namespaces, else what is missing. */
export function missingForNamespaces(): string | undefined {
  if (process.platform !== 'linux') return `network namespaces need Linux (this is ${process.platform})`
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const name = `remora-probe-${process.pid}`
  const added = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' })
  if (added.error !== undefined) return 'the `ip` command (iproute2) is not installed'
  if (added.status !== 0) return `ip netns add: ${added.stderr.trim()} (capability SYS_ADMIN is missing?)`
  const linked = spawnSync('ip', ['-n', name, 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1'], {
    encoding: 'utf8',
  })
  removeNamespace(name)
  return linked.status === 0 ? undefined : `ip link add type veth: ${linked.stderr.trim()}`
}

/** Removes namespaces whose owner is gone (killed with SIGKILL, power cut). Returns their names. */
export function sweep(prefix: string): string[] {
  const removed: string[] = []
  for (const name of namespaces()) {
    const owner = new RegExp(`^${prefix}-([0-9]+)-`).exec(name)?.[1]
    if (owner === undefined || isAlive(Number(owner))) continue
    removeNamespace(name)
    removed.push(name)
  }
  return removed
}

export function namespaces(): string[] {
  try {
    return readdirSync('/run/netns')
  } catch {
    return []
  }
}

let interfaceCounter = 0

/** Linux allows 15 characters. */
function interfaceName(kind: string): string {
  return `rl${kind}${process.pid.toString(36)}${(interfaceCounter++).toString(36)}`
}

function removeNamespace(name: string): void {
  spawnSync('ip', ['netns', 'del', name])
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** First three bytes of a /24 in 10/8 that no interface of this machine is in. */
function freeSubnet(): string {
  const taken = new Set<string>()
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) taken.add(address.split('.').slice(0, 3).join('.'))
  }
  for (let attempt = 0; attempt < 1000; attempt++) {
    const subnet = `10.${201 + Math.floor(Math.random() * 50)}.${Math.floor(Math.random() * 256)}`
    if (!taken.has(subnet)) return subnet
  }
  throw new NetworkError('no free 10.x.y.0/24 network on this machine')
}

function hex(part: string): string {
  return Number(part).toString(16)
}

let ipv6: boolean | undefined

function ipv6Available(): boolean {
  if (ipv6 === undefined) {
    try {
      readdirSync('/proc/sys/net/ipv6')
      ipv6 = true
    } catch {
      ipv6 = false
    }
  }
  return ipv6
}

/** Runs several `ip` commands in one process: the lab must be up in seconds. */
function ip(options: readonly string[], commands: readonly string[]): void {
  const done = spawnSync('ip', [...options, '-batch', '-'], { input: `${commands.join('\n')}\n`, encoding: 'utf8' })
  if (done.error !== undefined) throw new NetworkError(`cannot run ip: ${done.error.message} (install iproute2)`)
  if (done.status !== 0) {
    throw new NetworkError(`ip ${[...options, ...commands].join('; ')}: ${done.stderr.trim()}`)
  }
}
