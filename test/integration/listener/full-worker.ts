/**
 * Accepts with no descriptor left (`ulimit -n` of the test); a line on stdin gives some back. With `late` there is none left when it begins to
 * listen, so that it has none to spare either.
 */
import { closeSync, openSync } from 'node:fs'
import { systemClock } from '../../../src/base/clock.ts'
import { TimerWheel } from '../../../src/base/timer-wheel.ts'
import { Acceptor } from '../../../src/io/acceptor.ts'
import { ipAddress } from '../../../src/io/address.ts'
import { CloseHow } from '../../../src/io/connection.ts'
import { boundAddress, openListenSocket, PLAIN_SOCKET } from '../../../src/io/listen-socket.ts'
import { accept } from '../../../src/io/socket-connection.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'

const loop = new SocketLoop(new TimerWheel(systemClock))
const acceptor = new Acceptor(loop, {
  onAccept(fd) {
    const connection = accept(loop, fd, { onData() {}, onClose() {} }, 0)
    connection?.write('served')
    connection?.close(CloseHow.Flush)
  },
  onAcceptError: errno => process.stdout.write(`error ${errno}\n`),
})
const fd = openListenSocket(ipAddress('127.0.0.1', 0), PLAIN_SOCKET)
const port = boundAddress(fd)!.port
const taken: number[] = []
if (process.argv[2] === 'late') {
  // It needs descriptors of its own.
  void loop.clients
  takeAll()
  acceptor.listen(fd, 16)
} else {
  acceptor.listen(fd, 16)
  takeAll()
}
process.stdout.write(`full ${port}\n`)
process.stdin.once('data', () => {
  for (const fd of taken) closeSync(fd)
  process.stdout.write('free\n')
})

function takeAll(): void {
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch {
    // That was the last one.
  }
}
