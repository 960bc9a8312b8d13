import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import { defineSupport } from '../../config/support.ts'

type Proto = envoy.extensions.http.original_ip_detection.xff.v3.XffConfig

/** envoy.extensions.http.original_ip_detection.xff.v3.XffConfig, parsed. */
export interface XffDetection {
  /** Entries at the end of x-forwarded-for that trusted proxies appended. */
  readonly trustedHops: number
  /** The peer's address is not appended. */
  readonly skipAppend: boolean
}

const support = defineSupport<Proto>('envoy.extensions.http.original_ip_detection.xff.v3.XffConfig', {
  xff_num_trusted_hops: 'yes',
  // Who is trusted decides who the client is: not to be ignored.
  xff_trusted_cidrs: 'reject',
  skip_xff_append: 'yes',
})

/** envoy.http.original_ip_detection.xff: the client is named by x-forwarded-for. The sanitizer does what it says. */
export const xffDetectionFactory: ExtensionFactory<Proto, XffDetection, never, XffDetection> = {
  category: 'envoy.http.original_ip_detection',
  name: 'envoy.http.original_ip_detection.xff',
  typeUrls: ['envoy.extensions.http.original_ip_detection.xff.v3.XffConfig'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return { trustedHops: proto.xff_num_trusted_hops ?? 0, skipAppend: proto.skip_xff_append ?? true }
  },
  create: config => config,
}
