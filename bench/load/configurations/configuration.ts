import type { PeerId } from '../result.ts'
import type { Sites } from '../sites.ts'
import type { CheckPlan } from '../checks/plan.ts'

/** One configuration of the proxies. Envoy and Remora get the same text; the others get an equivalent where they have one. */
export interface Configuration {
  readonly id: string
  readonly title: string
  readonly workers: number
  /** Bootstrap for Envoy and Remora. */
  envoy(sites: Sites): string
  /** What the other proxies are asked for; null = there is nothing equivalent. */
  readonly equivalent: Equivalent | null
  /** Needs certificates. */
  readonly tls: boolean
  /** What is checked on every process before it is measured. */
  readonly checks: CheckPlan
  /** What a peer cannot do although it has an equivalent in general, with the reason. */
  readonly without?: Partial<Record<PeerId, string>>
}

/** A proxy in plain words, for nginx, HAProxy and the proxies on Node's own modules. */
export interface Equivalent {
  readonly kind: 'http' | 'grpc' | 'tcp'
  /** HTTP/2 from the client: without TLS one port of theirs speaks one version only. */
  readonly http2: boolean
  readonly tls: 'none' | 'rsa' | 'ec'
  readonly clientCertificate: boolean
  readonly upstream: 'http1' | 'http2' | 'grpc' | 'tcp'
  readonly timeoutSeconds: number
}
