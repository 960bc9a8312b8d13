import t from 'tap'
import { parseAdminSocket } from '../../../src/server/admin-socket.ts'

t.test('an IP address or a Unix socket with its mode, and the options of the socket', async t => {
  const ip = parseAdminSocket({
    address: { socket_address: { address: '127.0.0.1', port_value: 9901 } },
    socket_options: [{ level: 1, name: 2, int_value: 3 }],
  })
  t.match(ip, { address: { text: '127.0.0.1:9901' }, options: { options: [{ level: 1, name: 2, value: 3 }] } })
  const pipe = parseAdminSocket({ address: { pipe: { path: '/run/admin', mode: 0o600 } } })
  t.match(pipe, { address: { text: '/run/admin' }, options: { mode: 0o600 } })
})

t.test('none without an address; a name and an internal listener are refused', async t => {
  t.equal(parseAdminSocket(undefined), null)
  t.equal(parseAdminSocket({}), null)
  const name = { socket_address: { address: 'localhost', port_value: 1 } }
  t.throws(() => parseAdminSocket({ address: name }), /malformed IP address: localhost/)
  const internal = { envoy_internal_address: { server_listener_name: 'x' } }
  t.throws(() => parseAdminSocket({ address: internal }), /only socket_address and pipe are supported here/)
})
