import { createServer } from 'node:http'
import t from 'tap'
import { settled } from '../harness/until.ts'
import { ECHO, startMesh } from './mesh.ts'

const mesh = await startMesh({ pods: ['sleep', 'echo'] })
const [job, echo] = [mesh.pod('sleep'), mesh.pod('echo')]
echo.serve(
  createServer((request, response) => response.end(request.headers['x-forwarded-client-cert'])),
  8080,
)

t.test('a Job does its work through the mesh and ends its own sidecar; nobody else can', async t => {
  const answer = await job.ask(ECHO, 80, '/work', { headers: { host: 'echo.demo' } })
  t.match(answer, { status: 200, body: /By=spiffe:\/\/cluster\.local\/ns\/demo\/sa\/echo;.*sa\/sleep$/ })
  t.match(await mesh.outside.ask(job.address, 15020, '/quitquitquit', { method: 'POST' }), {
    status: 403,
    body: 'Only requests from localhost are allowed\n',
  })
  t.match(await job.agent('/quitquitquit'), { status: 405, body: 'Method Not Allowed\n' })
  t.match(await job.agent('/quitquitquit', 'POST'), { status: 200, body: 'OK' })
  t.equal(await job.exited, 0, 'so the Job is complete')
  const proxy = async (): Promise<number> => (await job.admin('/ready')).status
  t.equal(await settled(proxy, status => status === 0), 0, 'the proxy is gone too')
})
