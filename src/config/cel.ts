/**
 * The Common Expression Language, as far as attributes of requests need it: operators, selection, indexing, lists, strings, numbers, and
 * the functions below. What is left out (macros but `has`, maps, timestamps, user functions) does not parse.
 */
export type CelNode =
  | { readonly kind: 'value'; readonly value: string | number | boolean | null }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'select'; readonly of: CelNode; readonly field: string; readonly test: boolean }
  | { readonly kind: 'index'; readonly of: CelNode; readonly at: CelNode }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly CelNode[] }
  | { readonly kind: 'list'; readonly items: readonly CelNode[] }

/** Functions and operators by name, with the number of their arguments. */
const FUNCTIONS: Readonly<Record<string, number>> = {
  size: 1,
  string: 1,
  int: 1,
  uint: 1,
  double: 1,
  startsWith: 2,
  endsWith: 2,
  contains: 2,
  matches: 2,
}

/** Lists of precedence, weakest first; all are left-associative. */
const BINARY: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['==', '!=', '<=', '>=', '<', '>', 'in'],
  ['+', '-'],
  ['*', '/', '%'],
]

const TOKEN =
  /\s*(?:(\d+\.\d+(?:[eE][-+]?\d+)?|\d+[uU]?)|((?:[rR])?"(?:[^"\\]|\\.)*"|(?:[rR])?'(?:[^'\\]|\\.)*')|([A-Za-z_][A-Za-z0-9_]*)|(\|\||&&|==|!=|<=|>=|[-+*/%<>!?:.,()[\]]))/y

const MAX_LENGTH = 4096
const MAX_DEPTH = 64

const TLS_FIELDS = [
  'tls_version',
  'subject_local_certificate',
  'subject_peer_certificate',
  'dns_san_local_certificate',
  'dns_san_peer_certificate',
  'uri_san_local_certificate',
  'uri_san_peer_certificate',
  'sha256_peer_certificate_digest',
]

/** Attributes there are, by root; `telemetry/cel-attributes.ts` reads them. Null: the root is a value itself. */
export const CEL_ATTRIBUTES: Readonly<Record<string, readonly string[] | null>> = {
  request: words('path url_path query host scheme method headers referer useragent id protocol size total_size'),
  response: words('code code_details flags headers trailers size total_size grpc_status'),
  source: ['address', 'port'],
  destination: ['address', 'port'],
  connection: [...words('id mtls requested_server_name termination_details transport_failure_reason'), ...TLS_FIELDS],
  upstream: [...words('address port local_address transport_failure_reason request_attempt_count'), ...TLS_FIELDS],
  xds: words(
    'cluster_name cluster_metadata route_name route_metadata virtual_host_name upstream_host_metadata listener_metadata filter_chain_name node',
  ),
  metadata: null,
  filter_state: null,
  node: null,
}

function words(text: string): string[] {
  return text.split(' ')
}

/** The expression, or why it cannot be read. */
export function parseCel(text: string): CelNode | string {
  if (text.length > MAX_LENGTH) return 'expression is too long'
  const parser = new Parser(text)
  try {
    const node = parser.whole()
    return unknownAttribute(node) ?? node
  } catch (error) {
    if (error instanceof CelSyntaxError) return error.message
    throw error
  }
}

function unknownAttribute(node: CelNode): string | null {
  switch (node.kind) {
    case 'value':
      return null
    case 'name':
      return CEL_ATTRIBUTES[node.name] === null ? null : `attribute '${node.name}' is not supported`
    case 'select': {
      if (node.of.kind !== 'name') return unknownAttribute(node.of)
      const fields = Object.hasOwn(CEL_ATTRIBUTES, node.of.name) ? CEL_ATTRIBUTES[node.of.name] : undefined
      if (fields === null || fields?.includes(node.field) === true) return null
      return `attribute '${node.of.name}.${node.field}' is not supported`
    }
    case 'index':
      return unknownAttribute(node.of) ?? unknownAttribute(node.at)
    case 'call':
      return firstUnknown(node.args)
    case 'list':
      return firstUnknown(node.items)
  }
}

function firstUnknown(nodes: readonly CelNode[]): string | null {
  for (const node of nodes) {
    const text = unknownAttribute(node)
    if (text !== null) return text
  }
  return null
}

class CelSyntaxError extends Error {}

class Parser {
  readonly #tokens: { readonly kind: 'number' | 'string' | 'name' | 'op'; readonly text: string }[] = []
  #at = 0
  #depth = 0

  constructor(text: string) {
    TOKEN.lastIndex = 0
    while (TOKEN.lastIndex < text.length && text.slice(TOKEN.lastIndex).trim() !== '') {
      const from = TOKEN.lastIndex
      const match = TOKEN.exec(text)
      if (match === null) {
        this.#tokens.push({ kind: 'op', text: `?? at ${from}` })
        break
      }
      if (match[1] !== undefined) this.#tokens.push({ kind: 'number', text: match[1] })
      else if (match[2] !== undefined) this.#tokens.push({ kind: 'string', text: match[2] })
      else if (match[3] !== undefined) this.#tokens.push({ kind: 'name', text: match[3] })
      else this.#tokens.push({ kind: 'op', text: match[4]! })
    }
  }

  whole(): CelNode {
    const node = this.#expression()
    if (this.#at < this.#tokens.length) throw new CelSyntaxError(`unexpected '${this.#tokens[this.#at]!.text}'`)
    return node
  }

  #expression(): CelNode {
    if (++this.#depth > MAX_DEPTH) throw new CelSyntaxError('expression is nested too deeply')
    const condition = this.#binary(0)
    let node = condition
    if (this.#take('?')) {
      const yes = this.#binary(0)
      this.#need(':')
      node = { kind: 'call', name: '?:', args: [condition, yes, this.#expression()] }
    }
    this.#depth--
    return node
  }

  #binary(level: number): CelNode {
    if (level === BINARY.length) return this.#unary()
    let left = this.#binary(level + 1)
    for (;;) {
      const token = this.#tokens[this.#at]
      if (token === undefined || token.kind === 'string' || !BINARY[level]!.includes(token.text)) return left
      this.#at++
      left = { kind: 'call', name: token.text, args: [left, this.#binary(level + 1)] }
    }
  }

  #unary(): CelNode {
    if (++this.#depth > MAX_DEPTH) throw new CelSyntaxError('expression is nested too deeply')
    let node: CelNode
    if (this.#take('!')) node = { kind: 'call', name: '!', args: [this.#unary()] }
    else if (this.#take('-')) node = { kind: 'call', name: 'neg', args: [this.#unary()] }
    else node = this.#member()
    this.#depth--
    return node
  }

  #member(): CelNode {
    let node = this.#primary()
    for (;;) {
      if (this.#take('.')) {
        const field = this.#name()
        if (this.#take('(')) node = this.#call(field, [node, ...this.#arguments(')')])
        else node = { kind: 'select', of: node, field, test: false }
      } else if (this.#take('[')) {
        node = { kind: 'index', of: node, at: this.#expression() }
        this.#need(']')
      } else return node
    }
  }

  #primary(): CelNode {
    const token = this.#tokens[this.#at++]
    if (token === undefined) throw new CelSyntaxError('unexpected end')
    if (token.kind === 'number') return { kind: 'value', value: Number(token.text.replace(/[uU]$/, '')) }
    if (token.kind === 'string') return { kind: 'value', value: unquote(token.text) }
    if (token.text === '(') {
      const node = this.#expression()
      this.#need(')')
      return node
    }
    if (token.text === '[') return { kind: 'list', items: this.#arguments(']') }
    if (token.kind !== 'name') throw new CelSyntaxError(`unexpected '${token.text}'`)
    if (token.text === 'true' || token.text === 'false') return { kind: 'value', value: token.text === 'true' }
    if (token.text === 'null') return { kind: 'value', value: null }
    if (!this.#take('(')) return { kind: 'name', name: token.text }
    const args = this.#arguments(')')
    if (token.text !== 'has') return this.#call(token.text, args)
    const of = args[0]
    if (args.length !== 1 || of?.kind !== 'select') throw new CelSyntaxError('has() takes a field')
    return { ...of, test: true }
  }

  #call(name: string, args: readonly CelNode[]): CelNode {
    if (!Object.hasOwn(FUNCTIONS, name) || FUNCTIONS[name] !== args.length) {
      throw new CelSyntaxError(`function '${name}' with ${args.length} arguments is not supported`)
    }
    return { kind: 'call', name, args }
  }

  #arguments(close: string): CelNode[] {
    const args: CelNode[] = []
    if (this.#take(close)) return args
    do args.push(this.#expression())
    while (this.#take(','))
    this.#need(close)
    return args
  }

  #name(): string {
    const token = this.#tokens[this.#at++]
    if (token?.kind !== 'name')
      throw new CelSyntaxError(`a name is missing${token === undefined ? '' : ` before '${token.text}'`}`)
    return token.text
  }

  #take(text: string): boolean {
    const token = this.#tokens[this.#at]
    if (token === undefined || token.kind === 'string' || token.text !== text) return false
    this.#at++
    return true
  }

  #need(text: string): void {
    if (!this.#take(text)) throw new CelSyntaxError(`'${text}' is missing`)
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b', f: '\f', v: '\v' }

function unquote(text: string): string {
  if (/^[rR]/.test(text)) return text.slice(2, -1)
  return text.slice(1, -1).replace(/\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.)/g, (_, code: string) => {
    if (code.length > 1) return String.fromCharCode(Number.parseInt(code.slice(1), 16))
    return ESCAPES[code] ?? code
  })
}
