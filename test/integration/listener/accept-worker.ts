import { parentPort, workerData } from 'node:worker_threads'
import { TimerWheel } from '../../../src/base/timer-wheel.ts'
import { Acceptor } from '../../../src/io/acceptor.ts'
import { CloseHow, type Connection } from '../../../src/io/connection.ts'
import { accept } from '../../../src/io/socket-connection.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'

// Greets each connection with the worker's name and closes it.
const { fd, name } = workerData as { fd: number; name: string }
const loop = new SocketLoop(new TimerWheel())
const handler = { onData(_: Connection): void {}, onClose(): void {} }
const acceptor = new Acceptor(loop, {
  onAccept(accepted) {
    const connection = accept(loop, accepted, handler, 0)
    connection?.write(name)
    connection?.close(CloseHow.Flush)
  },
  onAcceptError() {},
})
acceptor.listen(fd, 64)
parentPort!.postMessage('listening')
