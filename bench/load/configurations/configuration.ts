import type { CheckPlan } from '../checks/plan.ts'
import type { Check } from '../result.ts'
import type { Sites } from '../sites.ts'
import type { Target } from '../target.ts'

/** One configuration of the proxies. Envoy and Remora get the same text; the others get an equivalent where they have one. */
export interface Configuration {
  readonly id: string
  readonly title: string
  readonly workers: number
  /** On all cores although it has one worker only. */
  readonly allCores?: boolean
  /** Bootstrap for Envoy and Remora. */
  envoy(sites: Sites): string
  /** What the other proxies are asked for; null = there is nothing equivalent. */
  readonly equivalent: Equivalent | null
  /** Needs certificates. */
  readonly tls: boolean
  /** What is checked on every process before it is measured. */
  readonly checks: CheckPlan
  /** Endpoints or clusters come from the bench's control plane. */
  readonly controlPlane?: boolean
  /** Ports that stand in the file and cannot be chosen; such a configuration runs on one proxy at a time. */
  readonly ports?: { readonly listen: number; readonly admin: number }
  /** Checks of its own, instead of those of the plan. */
  readonly ownChecks?: (target: Target) => Promise<Check[]>
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
