import t from 'tap'
import { GET, redirectedPod } from './redirected-pod.ts'

const { app, remote, pod, other, ipv6, logged, printed } = redirectedPod('REDIRECT')

const families = [
  { name: 'IPv4', pod: pod.address, other: other.address, inboundSource: '127.0.0.6', show: (ip: string) => ip },
  {
    name: 'IPv6',
    pod: pod.address6,
    other: other.address6,
    inboundSource: '::6',
    show: (ip: string) => new URL(`http://[${ip}]`).hostname,
  },
]

for (const family of families.slice(0, ipv6 ? 2 : 1)) {
  const at = (ip: string, port: number): string => `${family.show(ip)}:${port}`
  const line = (start: string, ip: string, port: number) =>
    logged(text => text.startsWith(start) && text.includes(` local=${at(ip, port)} `))

  t.test(`${family.name}: an application that asks its database first thing`, async t => {
    const { received, error } = await app.talk(family.other, 3306, 'SELECT 1', true)
    t.equal(error, undefined)
    t.match(received, /^greetings of remote\nresult of SELECT 1 for /)
    const log = await line('outbound outbound|3306 ', family.other, 3306)
    t.match(log, 'flags=-', 'the destination that was meant is the local address: SO_ORIGINAL_DST')
  })

  t.test(`${family.name}: HTTP out, by the listener of the port`, async t => {
    const { received } = await app.talk(family.other, 9080, GET(`/out-${family.name}`))
    t.match(received, `remote answers /out-${family.name} to `)
    t.match(received, 'server: envoy')
    t.match(await line('outbound outbound|9080 ', family.other, 9080), `path=/out-${family.name}`)
  })

  t.test(`${family.name}: an unknown destination, through PassthroughCluster`, async t => {
    const { received } = await app.talk(family.other, 7777, 'hello\n')
    t.match(received, 'remote heard hello from ')
    const log = await line('outbound PassthroughCluster ', family.other, 7777)
    t.match(log, `upstream=${at(family.other, 7777)} `)
    const greeted = await app.talk(family.other, 3307, 'SELECT 2', true)
    t.match(
      greeted.received,
      'greetings of remote\nresult of SELECT 2',
      'a server that speaks first needs no configuration',
    )
  })

  t.test(`${family.name}: HTTP in, by the chain of the port`, async t => {
    const { received } = await remote.talk(family.pod, 8080, GET(`/in-${family.name}`))
    t.match(received, `app answers /in-${family.name} to `)
    const log = await line('inbound inbound|8080 ', family.pod, 8080)
    t.match(log, `path=/in-${family.name}`)
    t.match(log, `upstream=${at(family.pod, 8080)} `)
  })

  t.test(
    `${family.name}: a database in the pod: at once where inspection is off, after the timeout elsewhere`,
    async t => {
      const known = await remote.talk(family.pod, 3306, 'SELECT 3', true)
      t.match(known.received, /^greetings of app\nresult of SELECT 3/)
      t.match(await line('inbound inbound|3306 ', family.pod, 3306), 'flags=-')
      const unknown = await remote.talk(family.pod, 3307, 'SELECT 4', true)
      t.match(unknown.received, /^greetings of app\nresult of SELECT 4/)
      t.match(await line('inbound InboundPassthroughCluster', family.pod, 3307), 'flags=-')
    },
  )

  t.test(
    `${family.name}: an unknown port of the pod sees ${family.inboundSource}, so that it is not redirected again`,
    async t => {
      const { received } = await remote.talk(family.pod, 7777, 'hello\n')
      t.match(received, new RegExp(`^app heard hello from (::ffff:)?${family.inboundSource.replaceAll('.', '\\.')}\n`))
      t.match(await line('inbound InboundPassthroughCluster', family.pod, 7777), `upstream=${at(family.pod, 7777)} `)
    },
  )
}

t.test('the proxy logged no error', async t => {
  t.notMatch(printed(), /\[(error|critical)\]/)
})
