#!/usr/bin/env node
/** Stands in for the proxy: records its command line and admin requests in ./seen.jsonl, answers /stats from ./stats. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const record = (seen: object): void => appendFileSync('seen.jsonl', `${JSON.stringify(seen)}\n`)
const argv = process.argv.slice(2)
record({ argv })
if (process.env.FAKE_EXIT !== undefined) process.exit(Number(process.env.FAKE_EXIT))

const bootstrap = JSON.parse(readFileSync(argv[argv.indexOf('-c') + 1] as string, 'utf8'))
createServer((request, response) => {
  record({ method: request.method, url: request.url })
  response.end(existsSync('stats') ? readFileSync('stats') : '')
}).listen(bootstrap.admin.address.socket_address.port_value, '127.0.0.1')
process.on('SIGTERM', () => {})
