import { AgentError } from '../agent-error.ts'
import { boolFrom } from '../go-bool.ts'
import { durationFrom } from '../go-duration.ts'
import { log } from '../log.ts'
import type { Env } from '../node-identity.ts'
import type { ProxyConfig } from '../proxy-config.ts'
import { type KeyKind, keyKind } from './key-pair.ts'

/** Where a workload's key, chain and roots lie. */
export interface CertificateFiles {
  readonly key: string
  readonly chain: string
  readonly root: string
}

/** The agent's security options (istio pilot/cmd/pilot-agent/options/security.go). Durations in milliseconds. */
export interface IdentityOptions {
  /** `host:port`; discoveryAddress unless CA_ADDR is set. `:15010` is plaintext. */
  readonly caAddress: string
  /** Name to expect of the CA instead of the host of its address; '' = that host. */
  readonly caSan: string
  /** CA_ROOT_CA: a path, `SYSTEM`, or '' for the place that the other options imply. */
  readonly caRoot: string
  /** PILOT_CERT_PROVIDER. */
  readonly certificateProvider: string
  /** CA_HEADER_*: metadata of every call to the CA. */
  readonly caHeaders: readonly (readonly [string, string])[]
  readonly clusterId: string
  readonly certSigner: string
  readonly trustDomain: string
  readonly namespace: string
  readonly serviceAccount: string
  readonly keyKind: KeyKind
  readonly pkcs8: boolean
  readonly secretTtlMs: number
  /** Share of the lifetime that is left when the certificate is renewed, and how far it is scattered. */
  readonly gracePeriodRatio: number
  readonly gracePeriodRatioJitter: number
  readonly fileDebounceMs: number
  /** OUTPUT_CERTS; '' = certificates stay in memory. */
  readonly outputFolder: string
  /** PROV_CERT: folder with the certificate to show to the CA; '' = none. */
  readonly provisionedFolder: string
  readonly fileMounted: boolean
  readonly files: CertificateFiles
  /** WORKLOAD_IDENTITY_SOCKET_FILE: a name, not a path. */
  readonly socketFile: string
  /** Certificate files may be read by the other containers of a pod, but by nobody else's processes on a VM. */
  readonly inKubernetes: boolean
}

const MOUNTED: CertificateFiles = {
  key: './etc/certs/key.pem',
  chain: './etc/certs/cert-chain.pem',
  root: './etc/certs/root-cert.pem',
}
const SPIFFE_FOLDER = './var/run/secrets/workload-spiffe-credentials'
/** If these three are there, they are the identity of the workload. */
export const SPIFFE_FILES: CertificateFiles = {
  key: `${SPIFFE_FOLDER}/key.pem`,
  chain: `${SPIFFE_FOLDER}/cert-chain.pem`,
  root: `${SPIFFE_FOLDER}/root-cert.pem`,
}
const GKE_FILES: CertificateFiles = {
  key: `${SPIFFE_FOLDER}/private_key.pem`,
  chain: `${SPIFFE_FOLDER}/certificates.pem`,
  root: `${SPIFFE_FOLDER}/ca_certificates.pem`,
}

/** Throws AgentError for options that contradict each other or that nothing here can serve. */
export function identityOptions(env: Env, config: ProxyConfig, exists: (path: string) => boolean): IdentityOptions {
  const policy = env.JWT_POLICY || 'third-party-jwt'
  if (policy === 'third-party-jwt') log.info('JWT policy is third-party-jwt')
  else if (policy === 'first-party-jwt') {
    log.warn("Using deprecated JWT policy 'first-party-jwt'; treating as 'third-party-jwt'")
  } else log.info('Using existing certs')
  const fetcher = env.CREDENTIAL_FETCHER_TYPE || 'JWT'
  if (fetcher !== 'JWT') {
    throw new AgentError(
      `failed to create credential fetcher: CREDENTIAL_FETCHER_TYPE=${fetcher} is not supported; use JWT`,
    )
  }
  const trustDomain = env.TRUST_DOMAIN || 'cluster.local'
  log.info(`using credential fetcher of ${fetcher} type in ${trustDomain} trust domain`)

  const provisionedFolder = env.PROV_CERT ?? ''
  const provider = env.CA_PROVIDER || 'Citadel'
  let fileMounted = boolFrom(env, 'FILE_MOUNTED_CERTS')
  let files = MOUNTED
  if (provider === 'GkeWorkloadCertificate') {
    if (!allPresent(GKE_FILES, exists)) {
      throw new AgentError(
        `GKE workload certificate files (${GKE_FILES.chain}, ${GKE_FILES.key}, ${GKE_FILES.root}) not present`,
      )
    }
    fileMounted = true
    files = GKE_FILES
  } else if (provider !== 'Citadel') {
    throw new AgentError(`CA provider "${provider}" not registered; use Citadel`)
  }
  if (provisionedFolder !== '' && fileMounted) {
    throw new AgentError('invalid options: PROV_CERT and FILE_MOUNTED_CERTS are mutually exclusive')
  }
  if (allPresent(SPIFFE_FILES, exists)) {
    log.info('workload certificate files detected, creating secret manager without caClient')
    fileMounted = true
    files = SPIFFE_FILES
  }
  const socketFile = env.WORKLOAD_IDENTITY_SOCKET_FILE || 'socket'
  if (socketFile.includes('/')) {
    throw new AgentError(`workload identity socket file override must be a filename, not a path: ${socketFile}`)
  }
  const explicitCa = env.CA_ADDR ?? ''
  return {
    caAddress: explicitCa || config.discoveryAddress,
    // ISTIOD_SAN names istiod; whoever sets CA_ADDR may mean another CA.
    caSan: explicitCa === '' ? (env.ISTIOD_SAN ?? '') : '',
    caRoot: env.CA_ROOT_CA ?? '',
    certificateProvider: env.PILOT_CERT_PROVIDER || 'istiod',
    caHeaders: caHeaders(env),
    clusterId: env.ISTIO_META_CLUSTER_ID ?? '',
    certSigner: env.ISTIO_META_CERT_SIGNER ?? '',
    trustDomain,
    namespace: env.POD_NAMESPACE ?? '',
    serviceAccount: env.SERVICE_ACCOUNT ?? '',
    keyKind: keyKind(
      number(env, 'WORKLOAD_RSA_KEY_SIZE', 2048),
      env.ECC_SIGNATURE_ALGORITHM ?? '',
      env.ECC_CURVE ?? '',
    ),
    pkcs8: boolFrom(env, 'PKCS8_KEY'),
    secretTtlMs: durationFrom(env, 'SECRET_TTL', 24 * 3_600_000),
    gracePeriodRatio: number(env, 'SECRET_GRACE_PERIOD_RATIO', 0.5),
    gracePeriodRatioJitter: number(env, 'SECRET_GRACE_PERIOD_RATIO_JITTER', 0.01),
    fileDebounceMs: durationFrom(env, 'FILE_DEBOUNCE_DURATION', 100),
    outputFolder: env.OUTPUT_CERTS ?? '',
    provisionedFolder,
    fileMounted,
    files,
    socketFile,
    inKubernetes: (env.KUBERNETES_SERVICE_HOST ?? '') !== '',
  }
}

/**
 * The file with the roots to trust the CA by, '' for those of the system (istio pkg/istio-agent, FindRootCAForCA).
 * Throws AgentError when it is not there.
 */
export function rootForCa(options: IdentityOptions, exists: (path: string) => boolean): string {
  if (options.caRoot === 'SYSTEM') return ''
  let path = './var/run/secrets/istio/root-cert.pem'
  if (options.caRoot !== '') path = options.caRoot
  else if (options.certificateProvider === 'custom') path = MOUNTED.root
  // On a VM the file may appear later.
  else if (options.provisionedFolder !== '') return `${options.provisionedFolder}/root-cert.pem`
  else if (options.certificateProvider === 'none') {
    throw new AgentError('root CA file for CA required but configured provider as none')
  }
  if (!exists(path)) throw new AgentError(`root CA file for CA does not exist ${path}`)
  return path
}

function allPresent(files: CertificateFiles, exists: (path: string) => boolean): boolean {
  return exists(files.key) && exists(files.chain) && exists(files.root)
}

function caHeaders(env: Env): [string, string][] {
  const headers: [string, string][] = []
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('CA_HEADER_') || value === undefined) continue
    const header = name.slice('CA_HEADER_'.length).toLowerCase()
    if (!/^[a-z0-9_.-]+$/.test(header)) throw new AgentError(`${name}: "${header}" is not the name of a header`)
    headers.push([header, value])
  }
  return headers
}

function number(env: Env, variable: string, byDefault: number): number {
  const text = env[variable]
  if (text === undefined || text === '') return byDefault
  const value = Number(text)
  if (!Number.isFinite(value) || value < 0) throw new AgentError(`${variable}=${text}: expected a number`)
  return value
}
