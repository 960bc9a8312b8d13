import { fstatSync, openSync } from 'node:fs'
import t from 'tap'
import { Acceptor } from '../../../src/io/acceptor.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'

t.test('a descriptor that cannot listen is closed, and the error told', async t => {
  const acceptor = new Acceptor(new SocketLoop(new VirtualTimers()), { onAccept() {}, onAcceptError() {} })
  const fd = openSync('/dev/null', 'r')
  t.throws(() => acceptor.listen(fd, 1), { code: 'ENOTSOCK' })
  t.throws(() => fstatSync(fd), { code: 'EBADF' })
})
