import { createServer } from 'node:net'
import { Network } from './network.ts'

export type PodName = 'client' | 'echo-v1' | 'echo-v2' | 'grpc-echo'

export const POD_NAMES: readonly PodName[] = ['echo-v1', 'echo-v2', 'grpc-echo', 'client']

/** One application with its sidecar, and where everything of it listens. */
export interface Pod {
  readonly name: PodName
  /** Network namespace; undefined in explicit mode, where every pod shares this machine's. */
  readonly namespace: string | undefined
  /** Where others reach it. */
  readonly address: string
  /** Where the application listens. */
  readonly appHost: string
  readonly appPort: number
  /** Port by which other sidecars reach the application: through its own sidecar either way. */
  readonly servicePort: number
  readonly admin: number
  readonly status: number
  readonly health: number
  readonly prometheus: number
}

/** A service as the client's application calls it. */
export interface Service {
  readonly authority: string
  readonly host: string
  readonly port: number
}

export interface Topology {
  readonly mode: 'namespaces' | 'explicit'
  readonly pods: Readonly<Record<PodName, Pod>>
  readonly echo: Service
  readonly grpc: Service
  /** Listener of the client's sidecar that people can call: same routes as its application has. */
  readonly tryHost: string
  readonly tryPort: number
  readonly network: Network | undefined
  close(): void
}

/** Every pod in a namespace of its own, with the ports of a real pod; services have addresses nobody owns. */
export function namespaceTopology(): Topology {
  const network = new Network('remora-lab')
  try {
    const pods = {} as Record<PodName, Pod>
    for (const name of POD_NAMES) {
      const node = network.addNode(name)
      const appPort = name === 'grpc-echo' ? 7070 : 8080
      pods[name] = {
        name,
        namespace: node.namespace,
        address: node.address,
        appHost: '0.0.0.0',
        appPort,
        servicePort: appPort,
        admin: 15000,
        status: 15020,
        health: 15021,
        prometheus: 15090,
      }
    }
    return {
      mode: 'namespaces',
      pods,
      echo: { authority: 'echo', host: network.addVip(), port: 80 },
      grpc: { authority: 'grpc-echo', host: network.addVip(), port: 7070 },
      tryHost: pods.client.address,
      tryPort: 8000,
      network,
      close: () => network.close(),
    }
  } catch (error) {
    network.close()
    throw error
  }
}

/** Everything on 127.0.0.1, each listener on a port of its own; the application names its proxy explicitly. */
export async function explicitTopology(): Promise<Topology> {
  const ports = await freePorts(POD_NAMES.length * 6 + 3)
  const take = (): number => ports.pop() as number
  const pods = {} as Record<PodName, Pod>
  for (const name of POD_NAMES) {
    pods[name] = {
      name,
      namespace: undefined,
      address: '127.0.0.1',
      appHost: '127.0.0.1',
      appPort: take(),
      servicePort: take(),
      admin: take(),
      status: take(),
      health: take(),
      prometheus: take(),
    }
  }
  return {
    mode: 'explicit',
    pods,
    echo: { authority: 'echo', host: '127.0.0.1', port: take() },
    grpc: { authority: 'grpc-echo', host: '127.0.0.1', port: take() },
    tryHost: '127.0.0.1',
    tryPort: take(),
    network: undefined,
    close: () => {},
  }
}

/** Below the ephemeral range (32768 on Linux), so that no outgoing connection of this machine takes one meanwhile. */
async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  for (let port = 23000 + Math.floor(Math.random() * 6000); ports.length < count && port < 32768; port++) {
    if (await isFree(port)) ports.push(port)
  }
  if (ports.length < count) throw new Error('not enough free ports between 23000 and 32767')
  return ports
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
