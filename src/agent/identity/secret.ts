/** What the proxy is given under a name; texts are PEM. */
export type Secret = KeySecret | RootSecret

export interface KeySecret {
  readonly kind: 'key'
  readonly key: string
  /** Leaf first. */
  readonly chain: string
}

export interface RootSecret {
  readonly kind: 'root'
  readonly roots: string
}

/** The identity of the workload. */
export const WORKLOAD = 'default'
/** The roots by which workloads trust each other. */
export const ROOT = 'ROOTCA'
const SYSTEM_ROOTS = 'file-root:system'

/** What a resource name asks for (istio pkg/security, SdsCertificateConfigFromResourceName). */
export type SecretRequest =
  | { readonly from: 'workload' }
  | { readonly from: 'root' }
  | { readonly from: 'system-roots' }
  | { readonly from: 'key-files'; readonly chain: string; readonly key: string }
  | { readonly from: 'root-file'; readonly path: string }

/** Names that are nothing else ask for the identity of the workload, as in Istio: a filter may call it as it likes. */
export function secretRequest(name: string): SecretRequest {
  if (name === ROOT) return { from: 'root' }
  if (name === SYSTEM_ROOTS) return { from: 'system-roots' }
  const separator = '~'
  if (name.startsWith('file-cert:')) {
    const [chain, key, more] = name.slice('file-cert:'.length).split(separator)
    if (chain && key && more === undefined) return { from: 'key-files', chain, key }
  }
  if (name.startsWith('file-root:')) {
    const [path, more] = name.slice('file-root:'.length).split(separator)
    if (path && more === undefined) return { from: 'root-file', path }
  }
  return { from: 'workload' }
}
