import t from 'tap'
import { GET, redirectedPod } from './redirected-pod.ts'

/** Interception mode TPROXY: the proxy takes connections with the addresses they had, and the application sees the client's. */
const { app, remote, stranger, pod, other, third, ipv6, logged, printed } = redirectedPod('TPROXY')

const bracketed = (ip: string): string => new URL(`http://[${ip}]`).hostname
const families = [
  {
    name: 'IPv4',
    pod: pod.address,
    other: other.address,
    show: (ip: string) => ip,
    seen: [`::ffff:${other.address}`, `::ffff:${third.address}`],
  },
  {
    name: 'IPv6',
    pod: pod.address6,
    other: other.address6,
    show: bracketed,
    seen: [other.address6, third.address6].map(ip => bracketed(ip).slice(1, -1)),
  },
]

for (const family of families.slice(0, ipv6 ? 2 : 1)) {
  const at = (ip: string, port: number): string => `${family.show(ip)}:${port}`
  const line = (start: string, ip: string, port: number) =>
    logged(text => text.startsWith(start) && text.includes(` local=${at(ip, port)} `))

  t.test(`${family.name}: HTTP in, from the client's own address`, async t => {
    const { received } = await remote.talk(family.pod, 8080, GET(`/in-${family.name}`))
    t.match(received, `app answers /in-${family.name} to ${family.seen[0]}\n`)
    t.match(received, 'server: envoy')
    const log = await line('inbound inbound|8080 ', family.pod, 8080)
    t.match(log, `upstream=${at(family.pod, 8080)} `)
  })

  t.test(`${family.name}: the next client does not get the connection of the first`, async t => {
    const { received } = await stranger.talk(family.pod, 8080, GET('/third'))
    t.match(received, `app answers /third to ${family.seen[1]}\n`)
    const again = await remote.talk(family.pod, 8080, GET('/again'))
    t.match(again.received, `app answers /again to ${family.seen[0]}\n`)
  })

  t.test(`${family.name}: TCP in, known and unknown ports`, async t => {
    const known = await remote.talk(family.pod, 3306, 'SELECT 3', true)
    t.equal(known.received, `greetings of app\nresult of SELECT 3 for ${family.seen[0]}\n`)
    const unknown = await remote.talk(family.pod, 7777, 'hello\n')
    t.equal(unknown.received, `app heard hello from ${family.seen[0]}\n`)
    t.match(await line('inbound InboundPassthroughCluster', family.pod, 7777), `upstream=${at(family.pod, 7777)} `)
  })

  t.test(`${family.name}: out as ever`, async t => {
    const { received } = await app.talk(family.other, 9080, GET('/out'))
    t.match(received, 'remote answers /out to ')
    t.match(received, 'server: envoy')
  })
}

t.test('the proxy logged no error', async t => {
  t.notMatch(printed(), /\[(error|critical)\]/)
})
