/** The static table of RFC 7541 appendix A; index 0 is unused. */
export const STATIC_NAMES: readonly string[] = /* @__PURE__ */ names()
export const STATIC_VALUES: readonly string[] = /* @__PURE__ */ values()
export const STATIC_LENGTH = 61

// biome-ignore format: pairs, one per line of the RFC table
function rows(): string[] {
  return [
    '', '', ':authority', '', ':method', 'GET', ':method', 'POST', ':path', '/', ':path', '/index.html',
    ':scheme', 'http', ':scheme', 'https', ':status', '200', ':status', '204', ':status', '206', ':status', '304',
    ':status', '400', ':status', '404', ':status', '500', 'accept-charset', '', 'accept-encoding', 'gzip, deflate',
    'accept-language', '', 'accept-ranges', '', 'accept', '', 'access-control-allow-origin', '', 'age', '', 'allow', '',
    'authorization', '', 'cache-control', '', 'content-disposition', '', 'content-encoding', '', 'content-language', '',
    'content-length', '', 'content-location', '', 'content-range', '', 'content-type', '', 'cookie', '', 'date', '',
    'etag', '', 'expect', '', 'expires', '', 'from', '', 'host', '', 'if-match', '', 'if-modified-since', '',
    'if-none-match', '', 'if-range', '', 'if-unmodified-since', '', 'last-modified', '', 'link', '', 'location', '',
    'max-forwards', '', 'proxy-authenticate', '', 'proxy-authorization', '', 'range', '', 'referer', '', 'refresh', '',
    'retry-after', '', 'server', '', 'set-cookie', '', 'strict-transport-security', '', 'transfer-encoding', '',
    'user-agent', '', 'vary', '', 'via', '', 'www-authenticate', '',
  ]
}

function names(): string[] {
  return rows().filter((_, i) => i % 2 === 0)
}

function values(): string[] {
  return rows().filter((_, i) => i % 2 === 1)
}
