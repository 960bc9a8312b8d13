import { closeSync, openSync, readSync } from 'node:fs'
import type tls from 'node:tls'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'
import { lazyCrypto } from '../../base/lazy-modules.ts'

const SECRET = 'remora.tls.ticket-secret'
/** BoringSSL's: keys that nobody has configured live so long, and open tickets for as long again. */
const ROTATION = 2 * 24 * 3600 * 1000

/** What main has drawn and workers inherit: the secret of one period. Periods are counted from 1970. */
interface PeriodSecret {
  readonly period: number
  readonly secret: Uint8Array
}

/** 48 bytes in Node's order: name, HMAC key, AES key. */
type TicketKey = Buffer

/** Undocumented, but tested by Node itself: OpenSSL's callback for ticket keys. */
interface TicketContext {
  setTicketKeys(keys: Buffer): void
  enableTicketKeyCallback(): void
  onticketkeycallback(name: Buffer, iv: Buffer, encrypt: boolean): readonly [number, Buffer, Buffer, Buffer?, Buffer?]
}

let inherited: readonly PeriodSecret[] = []

/** Every worker must open the tickets of every other: main draws one secret before it starts workers, and all go on from it alike. */
export function drawTicketSecret(): void {
  if (getEnvironmentData(SECRET) !== undefined) return
  setEnvironmentData(SECRET, { period: periodOf(Date.now()), secret: randomSecret() })
  // Who takes the memory of main must not open the tickets of last week.
  setInterval(() => setEnvironmentData(SECRET, upTo(periodOf(Date.now()))[0]), ROTATION).unref()
}

/** Changes when `processTicketKeys` gives other keys. */
export function ticketPeriod(now: number = Date.now()): number {
  return periodOf(now)
}

/**
 * Keys of this process, the first one for new tickets. Different `context` (certificates, trust, requirements), different keys: a
 * ticket of a listener that asks for less must not open one that asks for more.
 */
export function processTicketKeys(context: Uint8Array, now: number = Date.now()): TicketKey[] {
  return upTo(periodOf(now)).map(one => derive(one.secret, context))
}

/** Envoy's 80 bytes (name 16, HMAC 32, AES 32) do not fit Node's 48: derived, so that all Remoras with the key agree. */
export function configuredTicketKeys(keys: readonly Uint8Array[], context: Uint8Array): TicketKey[] {
  return keys.map(key => derive(key, context))
}

/**
 * The first key encrypts, all decrypt; Node itself has room for one. `renew`: every resumption brings a new ticket, as clients of
 * TLS 1.3 use each of them once (RFC 8446 §C.4); OpenSSL gives none by itself.
 */
export function useTicketKeys(secure: tls.SecureContext, keys: readonly TicketKey[], renew: boolean): void {
  const context = secure.context as TicketContext
  const first = keys[0]!
  context.setTicketKeys(first)
  if (keys.length === 1 && !renew) return
  context.onticketkeycallback = (name, _, encrypt) => {
    if (encrypt) return [1, hmacOf(first), aesOf(first), nameOf(first), lazyCrypto().randomBytes(16)]
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!
      // 2: the peer gets a new ticket, of the first key.
      if (nameOf(key).equals(name)) return [i === 0 && !renew ? 1 : 2, hmacOf(key), aesOf(key)]
    }
    return [0, hmacOf(first), aesOf(first)]
  }
  context.enableTicketKeyCallback()
}

/** The secret of `period` and the one before; each is made of its predecessor, which cannot be found from it. */
function upTo(period: number): readonly PeriodSecret[] {
  if (inherited.length === 0) {
    let start = getEnvironmentData(SECRET) as PeriodSecret | undefined
    if (start === undefined) {
      start = { period, secret: randomSecret() }
      setEnvironmentData(SECRET, start)
    }
    inherited = [start]
  }
  while (inherited[0]!.period < period) {
    const last = inherited[0]!
    const secret = new Uint8Array(lazyCrypto().hkdfSync('sha256', last.secret, '', 'next period', 32))
    inherited = [{ period: last.period + 1, secret }, last]
  }
  return inherited
}

function derive(secret: Uint8Array, context: Uint8Array): TicketKey {
  return Buffer.from(lazyCrypto().hkdfSync('sha256', secret, context, 'tls session tickets', 48))
}

function periodOf(now: number): number {
  return Math.floor(now / ROTATION)
}

function nameOf(key: TicketKey): Buffer {
  return key.subarray(0, 16)
}

function hmacOf(key: TicketKey): Buffer {
  return key.subarray(16, 32)
}

function aesOf(key: TicketKey): Buffer {
  return key.subarray(32, 48)
}

/** From the kernel where that is a file: node:crypto takes 10 ms to load, and most processes never make a ticket. */
function randomSecret(): Uint8Array {
  const bytes = new Uint8Array(32)
  let fd = -1
  try {
    fd = openSync('/dev/urandom', 'r')
    if (readSync(fd, bytes) === bytes.length) return bytes
  } catch {
    // No such device here.
  } finally {
    if (fd >= 0) closeSync(fd)
  }
  return lazyCrypto().randomBytes(32)
}
