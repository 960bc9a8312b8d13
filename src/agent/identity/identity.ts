import { statSync } from 'node:fs'
import type { Registry } from 'prom-client'
import { AgentError } from '../agent-error.ts'
import { boolFrom } from '../go-bool.ts'
import { log } from '../log.ts'
import type { Env } from '../node-identity.ts'
import type { ProxyConfig } from '../proxy-config.ts'
import { SdsServer } from '../sds-server.ts'
import { type CaClient, IstioCaClient } from './ca-client.ts'
import { IdentityMetrics } from './metrics.ts'
import { type IdentityOptions, identityOptions, rootForCa } from './options.ts'
import { systemSchedule } from './schedule.ts'
import { SecretManager } from './secret-manager.ts'
import { socketIsServed } from './sockets.ts'
import { readToken } from './token.ts'

const WORKLOAD_SOCKETS = './var/run/secrets/workload-spiffe-uds'
const FILES_SOCKET = './var/run/secrets/credential-uds/files-socket'
const CREDENTIAL_SOCKET = './var/run/secrets/credential-uds/socket'

/** The certificates of this workload, while the agent runs. */
export interface Identity {
  /** For the proxy's cluster sds-grpc. */
  readonly workloadSocket: string
  /** For its cluster sds-files-grpc; undefined: files are served on the workload socket. */
  readonly filesSocket: string | undefined
  /** What istiod is to know of it: `credential`, `file-credential`. */
  readonly metadata: Readonly<Record<string, string>>
  /** PCDS: roots besides the CA's, PEM texts. */
  updateTrustBundle(pems: readonly string[]): void
  close(): void
}

export interface IdentitySources {
  readonly env: Env
  readonly config: ProxyConfig
  readonly registry: Registry
}

/**
 * Starts the SDS server of this pod, and asks for its certificate unless that comes from files or from a foreign server
 * (SPIRE) that serves the workload socket already. Rejects with AgentError for what cannot work.
 */
export async function startIdentity({ env, config, registry }: IdentitySources): Promise<Identity> {
  const options = identityOptions(env, config, isFile)
  const workloadSocket = `${WORKLOAD_SOCKETS}/${options.socketFile}`
  const foreign = await socketIsServed(workloadSocket)
  if (foreign) {
    log.info(`Existing workload SDS socket found at ${workloadSocket}. Default Istio SDS Server will only serve files`)
  } else if (options.socketFile !== 'socket') {
    throw new AgentError(`agent configured for non-default SDS socket path: ${workloadSocket} but no socket found`)
  }
  const credential = await socketIsServed(CREDENTIAL_SOCKET)
  if (credential) log.info('Credential SDS socket found')

  log.info('Starting default Istio SDS Server')
  const metrics = new IdentityMetrics(registry)
  const ca = foreign || options.fileMounted ? null : caClient(options, config, metrics)
  if (foreign || options.fileMounted) {
    log.info('Workload is using file mounted certificates. Skipping connecting to CA')
  }
  const secrets = new SecretManager({ options, ca, metrics, schedule: systemSchedule })
  const server = new SdsServer(secrets)
  secrets.onUpdate = name => server.push(name)
  if (ca !== null) secrets.warm()
  const path = foreign ? FILES_SOCKET : workloadSocket
  // Without a proxy nobody asks: the application has them by OUTPUT_CERTS.
  if (!boolFrom(env, 'DISABLE_ENVOY')) {
    await server.start(path, foreign ? 'file certificates only' : 'workload certificates')
  }
  return {
    workloadSocket,
    filesSocket: foreign ? FILES_SOCKET : undefined,
    metadata: { ...(credential ? { credential: 'true' } : {}), ...(foreign ? { 'file-credential': 'true' } : {}) },
    updateTrustBundle: pems => secrets.updateTrustBundle(pems),
    close: () => {
      server.close()
      secrets.close()
    },
  }
}

function caClient(options: IdentityOptions, config: ProxyConfig, metrics: IdentityMetrics): CaClient | null {
  const { caAddress } = options
  log.info(`CA Endpoint ${caAddress}, provider Citadel`)
  const plaintextOnly =
    config.controlPlaneAuthPolicy === 'NONE' &&
    !caAddress.endsWith(':15010') &&
    !isFile('./var/run/secrets/istio/root-cert.pem')
  if (
    caAddress.startsWith('unix:') ||
    (caAddress === config.discoveryAddress && options.caRoot === '' && plaintextOnly)
  ) {
    // Not so in Istio, which ends here: a control plane on a socket or without TLS (a lab) has no CA.
    log.warn(`${caAddress} is no CA: this workload has no certificate; set CA_ADDR to the CA's host:port`)
    return null
  }
  if (!/^(\[[^\]]+\]|[^:]+):\d+$/.test(caAddress)) throw new AgentError(`CA address: "${caAddress}" is not host:port`)
  let rootFile: string | undefined
  if (caAddress.endsWith(':15010')) log.warn('Debug mode or IP-secure network')
  else {
    rootFile = rootForCa(options, isFile)
    log.info(`Using CA ${caAddress} cert with ${rootFile === '' ? 'system certs' : `certs: ${rootFile}`}`)
  }
  return new IstioCaClient({
    address: caAddress,
    san: options.caSan,
    rootFile,
    provisionedFolder: options.provisionedFolder,
    clusterId: options.clusterId,
    certSigner: options.certSigner,
    headers: options.caHeaders,
    token: readToken,
    metrics,
  })
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}
