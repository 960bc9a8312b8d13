import { admin, type Group, raw, type Scenario, type Step, scenario } from '../scenario.ts'

/** Admin.allow_paths, which looks at the path with its query. */
const one = (name: string, doc: string, ...steps: Step[]): Scenario => scenario(name, doc, steps, [], { log: false })
const get = (path: string): Step => admin(path, { only: '^(request|invalid|LIVE|Method)|not allowed' })

const group: Group = {
  name: 'admin-allowed',
  upstreams: {},
  config: {
    admin: {
      address: { socket_address: { address: '127.0.0.1', port_value: '$port(admin)' } },
      // The first three are the harness's own.
      allow_paths: [
        { exact: '/ready' },
        { prefix: '/stats' },
        { exact: '/quitquitquit' },
        { exact: '/listeners?format=json' },
        { safe_regex: { regex: '/clusters(\\?.*)?' } },
        { suffix: '/HIDDEN', ignore_case: true },
        { contains: 'logging' },
      ],
    },
  },
  scenarios: [
    one('allowed', 'What a matcher names is served', get('/ready'), admin('/clusters', { as: 'none' })),
    one('other', 'Everything else is 403, before it is looked for', get('/help'), get('/'), get('/nowhere')),
    one('query', 'The query counts', get('/ready?x'), get('/listeners'), get('/listeners?format=json&x')),
    one(
      'whole',
      'An expression has to match all of it',
      get('/clusters?format=json'),
      get('/clusters/x'),
      get('/x/clusters'),
    ),
    one('unknown', 'An allowed path that does not exist is 404', get('/hidden'), get('/a/hidden')),
    one('post', 'POST is judged as GET is', admin('/drain_listeners', { method: 'POST' }), get('/logging')),
    one('slashes', 'Slashes are merged first', get('//ready'), get('//help//x?//y')),
    one(
      'raw',
      'The answer as a whole, and to HEAD',
      raw(['GET /help HTTP/1.1\r\nHost: x\r\n\r\n'], { listener: 'admin' }),
    ),
  ],
}

export default group
