/** libstdc++'s `std::_Hash_bytes` seed, which Envoy uses so that rings match those of older proxies. */
const STD_HASH_SEED = 0xc70f6907n
const M = 0xc6a4a7935bd1e995n
const MASK = 0xffffffffffffffffn

/** MurmurHash64A as Envoy's MURMUR_HASH_2 ring hash function. For ring building only: it works on BigInt. */
export function murmurHash2(text: string, seed: bigint = STD_HASH_SEED): bigint {
  const bytes = Buffer.from(text, 'latin1')
  const length = bytes.length
  const whole = length & ~7
  let hash = seed ^ ((BigInt(length) * M) & MASK)
  for (let i = 0; i < whole; i += 8) {
    const data = (mix((bytes.readBigUInt64LE(i) * M) & MASK) * M) & MASK
    hash = ((hash ^ data) * M) & MASK
  }
  if (length !== whole) {
    let rest = 0n
    for (let i = length - 1; i >= whole; i--) rest = (rest << 8n) | BigInt(bytes[i]!)
    hash = ((hash ^ rest) * M) & MASK
  }
  hash = (mix(hash) * M) & MASK
  return mix(hash)
}

function mix(v: bigint): bigint {
  return v ^ (v >> 47n)
}
