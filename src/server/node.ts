import { ENVOY_SHA, ENVOY_VERSION } from '../base/version.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { ownExtensions } from '../config/own-extensions.ts'
import type { NodeInfo } from '../config/services.ts'

type Node = envoy.config.core.v3.Node

/**
 * The bootstrap's node as the outside sees it (xDS requests, /server_info, /config_dump): Envoy fills in the user agent, the
 * build version and every extension it was built with (LocalInfoImpl).
 */
export function fullNode(node: Node | undefined): Node {
  const [major = 0, minor = 0, patch = 0] = ENVOY_VERSION.split('.').map(Number)
  return {
    ...node,
    user_agent_name: 'envoy',
    user_agent_build_version: {
      version: {
        major_number: major,
        minor_number: minor,
        ...(patch === 0 ? {} : { patch }),
      },
      metadata: {
        'build.type': 'RELEASE',
        'revision.sha': ENVOY_SHA,
        'revision.status': 'Clean',
        'ssl.version': 'BoringSSL',
      },
    },
    extensions: ownExtensions().map(({ name, category, typeUrls }) => ({ name, category, type_urls: [...typeUrls] })),
  } as Node
}

/** What extensions know of the node. */
export function nodeInfo(node: Node = {}): NodeInfo {
  return {
    id: node.id ?? '',
    cluster: node.cluster ?? '',
    region: node.locality?.region ?? '',
    zone: node.locality?.zone ?? '',
    subZone: node.locality?.sub_zone ?? '',
    metadata: (node.metadata ?? {}) as Record<string, unknown>,
  }
}
