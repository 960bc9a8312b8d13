import { setFlagsFromString } from 'node:v8'
import t from 'tap'
import { ListPacker, type PackedList, ValueReader, ValueWriter } from '../../../src/base/packed-values.ts'

function through(value: unknown): unknown {
  return new ValueReader(new ValueWriter().pack(value)).root()
}

t.test('what comes out is what went in', async t => {
  const values: unknown[] = [
    ...[undefined, null, true, false, '', 'a', 'é', 'Ω€', '\u0000', 0, 1, 127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 53, -1],
    ...[1.5, -0, Number.NaN, Number.POSITIVE_INFINITY, 10n],
    ...[[], [1, [2, ['3']]], {}, { a: undefined, b: null, c: { d: [] } }, { '': 1, length: 2, 'a b': 3 }],
    ...[new Uint8Array([1, 2, 255]), new Map([['a', { b: 1 }]]), new Set([1]), { bytes: new Uint8Array(3) }],
    JSON.parse('{"__proto__":{"x":1},"constructor":2}'),
  ]
  for (const value of values) t.strictSame(through(value), value)
  t.strictSame(through(values), values)
  t.ok(Object.is(through(-0), -0))
})

t.test('values of every size around the bounds of the encoding survive', async t => {
  for (let bit = 0; bit < 53; bit++) {
    for (const value of [2 ** bit - 1, 2 ** bit, 2 ** bit + 1]) t.strictSame(through({ value }), { value })
  }
  for (const length of [63, 64, 8191, 8192, 100_000]) t.strictSame(through('x'.repeat(length)), 'x'.repeat(length))
  const many = Array.from({ length: 500 }, (_, i) => ({ [`name${i}`]: i, text: `text ${i}` }))
  t.strictSame(through(many), many)
})

t.test('equal parts are written once, and read as objects of their own', async t => {
  const same = (i: number) => ({
    name: `cluster ${i}`,
    limits: { connections: 1024, retries: [3, 4] },
    policy: 'ROUND_ROBIN',
  })
  const hundred = new ValueWriter().pack(Array.from({ length: 100 }, (_, i) => same(i)))
  t.ok(hundred.byteLength < 100 * 40, `${hundred.byteLength} bytes`)
  const [a, b] = new ValueReader(hundred).root() as ReturnType<typeof same>[]
  a!.limits.retries.push(5)
  t.same(b!.limits.retries, [3, 4])
})

t.test('a lazy list gives elements, and properties without their element', async t => {
  const hosts = [
    { name: 'a', domains: ['a', 'b'], routes: [1] },
    { name: 'b', domains: [] as string[], routes: [] },
  ]
  const packed = new ValueWriter(new Set(['hosts'])).pack({ hosts, others: hosts })
  const read = new ValueReader(packed).root() as { hosts: PackedList<(typeof hosts)[0]>; others: typeof hosts }
  t.same(read.others, hosts)
  t.equal(read.hosts.length, 2)
  t.same(read.hosts.get(0), hosts[0])
  t.same(read.hosts.field(0, 'domains'), ['a', 'b'])
  t.same(read.hosts.field(1, 'domains'), [])
  t.same(read.hosts.get(1), hosts[1])
  t.equal(read.hosts.field(0, 'nothing' as 'name'), undefined)
})

t.test('a list that is packed already stays one inside another value', async t => {
  const packer = new ListPacker<{ name: string; sizes: number[] }>()
  const hosts = [
    { name: 'a', sizes: [1, 2 ** 40] },
    { name: 'b', sizes: [] },
  ]
  for (const host of hosts) packer.add(host)
  const list = packer.finish()
  t.same([...list], hosts)
  t.same([...(list.names ?? [])].sort(), ['name', 'sizes'])
  const read = through({ before: 'a', routes: { list }, bytes: new Uint8Array([0, 1]) }) as {
    routes: { list: PackedList<(typeof hosts)[0]> }
    bytes: Uint8Array
  }
  t.same([...read.routes.list], hosts)
  t.same(read.bytes, new Uint8Array([0, 1]))
  const again = through([read.routes.list]) as [PackedList<(typeof hosts)[0]>]
  t.same([...again[0]], hosts)
})

t.test('equal numbers of any size are one value', async t => {
  const writer = new ValueWriter()
  const one = writer.identify({ max: [2 ** 64, Number.POSITIVE_INFINITY, Number.NaN, -0.5] })
  t.equal(writer.identify({ max: [2 ** 64, Number.POSITIVE_INFINITY, Number.NaN, -0.5] }), one)
  t.not(writer.identify({ max: [2 ** 64, Number.POSITIVE_INFINITY, Number.NaN, 0.5] }), one)
})

t.test('objects of many properties are no hash tables', async t => {
  setFlagsFromString('--allow-natives-syntax')
  const isFast = new Function('o', 'return %HasFastProperties(o)') as (o: object) => boolean
  const many: Record<string, unknown> = { __proto__: null, 7: 'seven' }
  for (let i = 0; i < 60; i++) many[`name${i}`] = i % 3 === 0 ? { i } : `${i}`
  const value = Object.defineProperty({ ...many }, '__proto__', { value: 'own', enumerable: true })
  const read = through(value) as object
  t.same(read, value)
  t.same(Object.keys(read), Object.keys(value))
  t.equal(Object.getOwnPropertyDescriptor(read, '__proto__')?.value, 'own')
  t.equal(Object.getPrototypeOf(read), Object.prototype)
  const plain = { ...many }
  t.ok(isFast(through(plain) as object))
})

t.test('what cannot be cloned is refused', async t => {
  t.throws(() => through({ create: () => 1 }))
  t.throws(() => through(Symbol('x')))
})
