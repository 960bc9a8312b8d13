import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { signatureAlgorithm, signed } from '../../src/agent/identity/csr.ts'
import {
  bitString,
  boolean,
  context,
  integer,
  objectIdentifier,
  octetString,
  pem,
  sequence,
  set,
  tagged,
} from '../../src/agent/identity/der.ts'

/** What a certificate is for. */
export interface CertificateSubject {
  readonly publicKey: KeyObject
  readonly uris?: readonly string[]
  readonly dnsNames?: readonly string[]
  /** IPv4 only. */
  readonly addresses?: readonly string[]
  readonly ttlMs: number
}

/** Clocks of pods differ; istiod's CA gives two minutes. */
const BACKDATE_MS = 120_000
const ROOT_TTL_MS = 10 * 365 * 24 * 3_600_000

/** A certificate authority for labs and tests: its key lives in memory and dies with it. */
export class CertificateAuthority {
  readonly name: string
  readonly rootPem: string
  readonly #key: KeyObject
  readonly #publicKey: KeyObject

  constructor(name = 'Remora lab') {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    this.name = name
    this.#key = privateKey
    this.#publicKey = publicKey
    this.rootPem = this.#certificate({ publicKey, ttlMs: ROOT_TTL_MS }, true)
  }

  /** A leaf for servers and clients, in PEM. */
  issue(subject: CertificateSubject): string {
    return this.#certificate(subject, false)
  }

  /** A key (PKCS#8, P-256) with its chain, root last. */
  identity(subject: Omit<CertificateSubject, 'publicKey'>): { key: string; chain: string } {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    return {
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      chain: this.issue({ ...subject, publicKey }) + this.rootPem,
    }
  }

  /** RFC 5280, 4.1. */
  #certificate(subject: CertificateSubject, authority: boolean): string {
    const now = Date.now()
    const issuer = distinguishedName(this.name)
    const content = sequence(
      context(0, integer(2), true),
      integer(Buffer.concat([Buffer.of(1), randomBytes(15)])),
      signatureAlgorithm(this.#key).algorithm,
      issuer,
      sequence(time(new Date(now - BACKDATE_MS)), time(new Date(now + subject.ttlMs))),
      authority ? issuer : sequence(),
      subject.publicKey.export({ type: 'spki', format: 'der' }),
      context(3, sequence(...(authority ? this.#authorityExtensions() : this.#leafExtensions(subject))), true),
    )
    return pem('CERTIFICATE', signed(content, this.#key))
  }

  #authorityExtensions(): Buffer[] {
    return [
      extension('2.5.29.19', true, sequence(boolean(true))),
      // keyCertSign, cRLSign
      extension('2.5.29.15', true, bitString(Buffer.of(0b00000110), 1)),
      extension('2.5.29.14', false, octetString(keyIdentifier(this.#publicKey))),
    ]
  }

  #leafExtensions({ uris = [], dnsNames = [], addresses = [] }: CertificateSubject): Buffer[] {
    const names = [
      ...dnsNames.map(name => context(2, Buffer.from(name, 'latin1'), false)),
      ...uris.map(uri => context(6, Buffer.from(uri, 'latin1'), false)),
      ...addresses.map(address => context(7, ipv4(address), false)),
    ]
    return [
      // digitalSignature, keyEncipherment
      extension('2.5.29.15', true, bitString(Buffer.of(0b10100000), 5)),
      // serverAuth, clientAuth
      extension(
        '2.5.29.37',
        false,
        sequence(objectIdentifier('1.3.6.1.5.5.7.3.1'), objectIdentifier('1.3.6.1.5.5.7.3.2')),
      ),
      extension('2.5.29.19', true, sequence()),
      extension('2.5.29.35', false, sequence(context(0, keyIdentifier(this.#publicKey), false))),
      // Critical, because the subject is empty.
      extension('2.5.29.17', true, sequence(...names)),
    ]
  }
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(objectIdentifier(id), ...(critical ? [boolean(true)] : []), octetString(value))
}

function distinguishedName(organization: string): Buffer {
  return sequence(set(sequence(objectIdentifier('2.5.4.10'), utf8String(organization))))
}

function keyIdentifier(publicKey: KeyObject): Buffer {
  return createHash('sha1')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
}

function ipv4(address: string): Buffer {
  if (isIP(address) !== 4) throw new Error(`${address} is not an IPv4 address`)
  return Buffer.from(address.split('.').map(Number))
}

function utf8String(text: string): Buffer {
  return tagged(0x0c, Buffer.from(text, 'utf8'))
}

/** RFC 5280 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050; whole seconds, UTC. */
function time(at: Date): Buffer {
  const digits = at.toISOString().replaceAll(/[-:T]|\..*$/g, '')
  return at.getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(`${digits.slice(2)}Z`, 'latin1'))
    : tagged(0x18, Buffer.from(`${digits}Z`, 'latin1'))
}
