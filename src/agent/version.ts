/** Version of Remora's agent, from package.json at build and run time alike. */
import packageJson from '../../package.json' with { type: 'json' }

export const VERSION: string = packageJson.version

/**
 * The Istio release whose behaviour is followed. istiod reads ISTIO_VERSION from the node metadata and withholds
 * newer resources from older or unknown ones, so it must be a real release.
 */
export const ISTIO_VERSION = '1.30.0'

export function versionText(): string {
  return `pilot-agent version Remora ${VERSION} (Istio ${ISTIO_VERSION} contract, Node ${process.version})`
}
