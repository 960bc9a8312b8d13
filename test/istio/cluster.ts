import { spawnSync } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { lazyFfi } from '../../src/base/lazy-modules.ts'
import { NetworkError, sweep } from '../../src/lab/network.ts'

const PREFIX = 'remora-istio'
const CLONE_NEWNET = 0x40000000n

type Setns = (fd: bigint, kind: bigint) => number
let setns: Setns | undefined

function load(): Setns {
  const { functions } = lazyFfi().dlopen(null, { setns: { arguments: ['pointer', 'pointer'], return: 'int32' } })
  return functions.setns as unknown as Setns
}

/** The calling thread's sockets are made in that network from now on; connections and listeners stay where they were made. */
function enter(fd: number): void {
  setns ??= load()
  if (setns(BigInt(fd), CLONE_NEWNET) !== 0) throw new NetworkError('setns was refused')
}

/**
 * The network of the cluster in which the pushes were recorded: one node, pods on its bridge, each in a network namespace. Nothing of
 * it is visible outside, so clusters with the same addresses live side by side. The test process moves into the node's namespace
 * (`istiod` and everything outside of the mesh is there) and steps into a pod's for the moment in which a socket is made: it is every
 * application, as user 0, which no rule exempts.
 */
export class Cluster {
  readonly #name = `${PREFIX}-${process.pid}`
  readonly #outside: number
  readonly #node: number
  readonly #members: Member[] = []

  /** `addresses` of the node, beside 10.77.0.1, to which also everything goes that no pod has. Throws NetworkError. */
  constructor(addresses: readonly string[]) {
    sweep(PREFIX)
    this.#outside = openSync('/proc/thread-self/ns/net', 'r')
    const node = `${this.#name}-node`
    ip(['netns', 'add', node])
    this.#node = openSync(`/run/netns/${node}`, 'r')
    enter(this.#node)
    try {
      batch(
        [],
        [
          'link set lo up',
          'link add br0 type bridge',
          'addr add 10.77.0.1/24 dev br0',
          ...addresses.map(address => `addr add ${address}/32 dev lo`),
          'link set br0 up',
        ],
      )
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** The node itself: what is outside of the mesh. */
  get node(): Member {
    return new Member(`${this.#name}-node`, this.#node)
  }

  add(name: string, address: string): Member {
    const namespace = `${this.#name}-${name}`
    ip(['netns', 'add', namespace])
    const port = `pod${this.#members.length}`
    const member = new Member(namespace, this.#node)
    this.#members.push(member)
    batch([], [`link add ${port} type veth peer name eth0 netns ${namespace}`, `link set ${port} master br0 up`])
    batch(
      ['-n', namespace],
      ['link set lo up', `addr add ${address}/24 dev eth0`, 'link set eth0 up', 'route add default via 10.77.0.1'],
    )
    return member
  }

  /** Idempotent. Processes in the namespaces must have been ended before. */
  close(): void {
    for (const member of this.#members.splice(0)) {
      member.close()
      spawnSync('ip', ['netns', 'del', member.namespace])
    }
    if (spawnSync('ip', ['netns', 'del', `${this.#name}-node`]).status !== 0) return
    enter(this.#outside)
    closeSync(this.#node)
    closeSync(this.#outside)
  }
}

/** One namespace of the cluster. */
export class Member {
  readonly namespace: string
  readonly #own: number
  readonly #node: number

  constructor(namespace: string, node: number) {
    this.namespace = namespace
    this.#own = openSync(`/run/netns/${namespace}`, 'r')
    this.#node = node
  }

  close(): void {
    closeSync(this.#own)
  }

  /** Any user may listen on any port from now on, as container runtimes have it for pods. */
  openLowPorts(): void {
    this.inside(() => writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '0'))
  }

  /** For what makes its sockets at once: `server.listen({ port })`. */
  inside<T>(action: () => T): T {
    enter(this.#own)
    try {
      return action()
    } finally {
      enter(this.#node)
    }
  }

  /** An application of this pod connects. `host` is an IP address. */
  connect(host: string, port: number): Socket {
    // Node makes the socket in a tick of its own, also for addresses that need no lookup; ticks run in order.
    process.nextTick(enter, this.#own)
    const socket = connect({ host, port })
    process.nextTick(enter, this.#node)
    return socket
  }
}

function ip(argv: readonly string[]): void {
  const done = spawnSync('ip', argv, { encoding: 'utf8' })
  if (done.status !== 0) throw new NetworkError(`ip ${argv.join(' ')}: ${done.stderr}`)
}

function batch(options: readonly string[], commands: readonly string[]): void {
  const input = `${commands.join('\n')}\n`
  const done = spawnSync('ip', [...options, '-batch', '-'], { input, encoding: 'utf8' })
  if (done.status !== 0) throw new NetworkError(`ip ${options.join(' ')} ${commands.join('; ')}: ${done.stderr}`)
}
