import type { envoy } from '../config/gen/messages.d.ts'
import type { DynamicResource, UpdateFailure } from '../server/dynamic-facts.ts'
import { connectionManagersOf, type MainListener } from '../server/listeners.ts'
import { fullNode } from '../server/node.ts'
import type { Server } from '../server/server.ts'
import type { DumpFacts, FailureFact, ResourceFact } from './config-dump-sections.ts'
import type { ListenerFact } from './listeners.ts'

type RouteProto = envoy.config.route.v3.RouteConfiguration
type Secret = envoy.extensions.transport_sockets.tls.v3.Secret

/** What /listeners shows: warming ones too, as Envoy. */
export function listenerFacts(server: Server): ListenerFact[] {
  const { listeners } = server.resources
  return allListeners(server).map(({ config }) => ({
    name: config.name,
    addresses: config.addresses.map(({ address }) => listeners.boundAddress(config, address)),
  }))
}

/** The newest version of every listener, static ones in configuration order first. */
export function allListeners(server: Server): MainListener[] {
  const { active, warming } = server.resources.listeners
  const names = new Set([...active.keys(), ...warming.keys()])
  const all = [...names].map(name => active.get(name) ?? warming.get(name)!)
  return [...all.filter(l => !l.viaApi), ...all.filter(l => l.viaApi)]
}

/** Facts of /config_dump over the live server. */
export class ServerDumpFacts implements DumpFacts {
  readonly #server: Server
  readonly #started = Date.now()
  readonly endpoints: DumpFacts['endpoints']

  /** `endpoints`: host sets, kept by `cluster-facts.ts`. */
  constructor(server: Server, endpoints: DumpFacts['endpoints']) {
    this.#server = server
    this.endpoints = endpoints
  }

  bootstrap(): ResourceFact {
    const { bootstrap } = this.#server
    const message = (): object => ({ ...bootstrap, node: fullNode(bootstrap.node) })
    return { name: '', version: '', updated: this.#started, message }
  }

  clustersVersion(): string {
    return this.#server.resources.dynamic.clustersVersion
  }

  staticClusters(): ResourceFact[] {
    const { active, warming } = this.#server.resources.clusters
    return [...warming.values(), ...active.values()].filter(c => !c.viaApi).map(clusterFact)
  }

  activeClusters(): ResourceFact[] {
    return [...this.#server.resources.clusters.active.values()].filter(c => c.viaApi).map(clusterFact)
  }

  warmingClusters(): ResourceFact[] {
    return [...this.#server.resources.clusters.warming.values()].filter(c => c.viaApi).map(clusterFact)
  }

  listenersVersion(): string {
    return this.#server.resources.dynamic.listenersVersion
  }

  staticListeners(): ResourceFact[] {
    return allListeners(this.#server)
      .filter(l => !l.viaApi)
      .map(listenerFact)
  }

  activeListeners(): ResourceFact[] {
    return [...this.#server.resources.listeners.active.values()].filter(l => l.viaApi).map(listenerFact)
  }

  warmingListeners(): ResourceFact[] {
    return [...this.#server.resources.listeners.warming.values()].filter(l => l.viaApi).map(listenerFact)
  }

  drainingListeners(): ResourceFact[] {
    return [...this.#server.resources.listeners.draining].filter(l => l.viaApi).map(listenerFact)
  }

  listenerFailures(): FailureFact[] {
    return failures(this.#server.resources.dynamic.listenerFailures)
  }

  staticRoutes(): ResourceFact[] {
    const { active, warming } = this.#server.resources.listeners
    return [...active.values(), ...warming.values()].flatMap(listener =>
      connectionManagersOf(listener.proto).flatMap(({ route_config: routes }) =>
        routes === undefined ? [] : [inlineRoutes(routes, listener)],
      ),
    )
  }

  dynamicRoutes(): ResourceFact[] {
    return dynamic(this.#server.resources.dynamic.routes)
  }

  staticSecrets(): ResourceFact[] {
    const secrets = this.#server.bootstrap.static_resources?.secrets ?? []
    return secrets.map((s: Secret) => ({
      name: s.name ?? '',
      version: '',
      updated: this.#started,
      message: () => s,
    }))
  }

  activeSecrets(): ResourceFact[] {
    return dynamic(this.#server.resources.dynamic.secrets)
  }

  extensions(): ResourceFact[][] {
    return [...this.#server.resources.dynamic.extensions.values()].map(kind => dynamic(kind))
  }

  warmingSecrets(): { name: string; updated: number }[] {
    return [...this.#server.resources.dynamic.warmingSecrets].map(name => ({ name, updated: this.#started }))
  }
}

function clusterFact(c: {
  readonly config: { readonly name: string }
  readonly version: string
  readonly kept: { readonly updated: number; message(): object }
}): ResourceFact {
  return { name: c.config.name, version: c.version, updated: c.kept.updated, message: () => c.kept.message() }
}

function listenerFact(l: MainListener): ResourceFact {
  return { name: l.config.name, version: l.version, updated: l.updated, message: () => l.proto }
}

function inlineRoutes(routes: RouteProto, listener: MainListener): ResourceFact {
  return { name: routes.name ?? '', version: '', updated: listener.updated, message: () => routes }
}

function dynamic(resources: ReadonlyMap<string, DynamicResource>): ResourceFact[] {
  return [...resources].map(([name, r]) => ({
    name,
    version: r.version,
    updated: r.updated,
    message: () => r.message(),
  }))
}

function failures(map: ReadonlyMap<string, UpdateFailure>): FailureFact[] {
  return [...map].map(([name, f]) => {
    const { failed } = f
    return {
      name,
      failed: failed === null ? null : { name, version: '', updated: failed.updated, message: () => failed.message() },
      attempted: f.attempted,
      details: f.details,
    }
  })
}
