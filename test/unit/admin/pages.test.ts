import t from 'tap'
import { choice, flag, HTML_TYPE, OK, text } from '../../../src/admin/handler.ts'
import { helpText } from '../../../src/admin/help.ts'
import { homeHandler } from '../../../src/admin/home.ts'
import { activeStatsPage, statsPage } from '../../../src/admin/stats-html.ts'
import { ask } from './fakes.ts'
import { recorded } from './recorded.ts'

const reader = { path: '/ready', help: 'print <state>', mutates: false, handle: () => OK }
const chooser = {
  path: '/stats/x',
  help: 'print server stats',
  parameters: [flag('usedonly', 'Only'), text('filter', 'RE'), choice('format', 'Format to use', ['a', 'b'])],
  mutates: false,
  handle: () => OK,
}
const changer = { path: '/quit', help: 'exit', mutates: true, handle: () => OK }
const all = () => [homeHandler(all), reader, chooser, changer]

t.test('help: two blanks, six for parameters, POST named', t => {
  t.equal(
    helpText([reader, chooser, changer]),
    'admin commands are:\n  /ready: print <state>\n  /stats/x: print server stats\n      usedonly: Only\n      filter: RE\n' +
      '      format: Format to use; One of (a, b)\n  /quit (POST): exit\n',
  )
  t.end()
})

t.test('home: links for readers, forms where there is something to say or to change', async t => {
  const { body, contentType } = await ask(homeHandler(all), '/')
  t.equal(contentType, HTML_TYPE)
  t.match(body, "<a href='ready'>ready</a>")
  t.match(body, "<form action='stats/x' method='get' id='stats/x' class='home-form'>")
  t.match(body, "<form action='quit' method='post' id='quit' class='home-form'>")
  t.notMatch(body, "<a href='quit'")
  t.match(body, 'print &lt;state&gt;')
  t.notMatch(body, 'Admin home page')
})

t.test('home: the table has the elements of the real page', async t => {
  const { body } = await ask(homeHandler(all), '/')
  const real = recorded('home').body
  for (const part of [
    "<table class='home-table'>",
    "<tr class='vert-space'><td></td><td></td></tr>",
    "<td class='option'>",
  ]) {
    t.match(real, part)
    t.match(body, part)
  }
})

t.test('stats page: what came in the query is escaped', t => {
  const query = new Map([['filter', `"><script>alert('x')</script>`]])
  for (const response of [
    statsPage([text('filter', 'RE')], query, 'a<b: 1\n'),
    activeStatsPage([text('filter', 'RE')], query),
  ]) {
    t.notMatch(response.body, '<script>alert')
    t.equal(response.contentType, HTML_TYPE)
  }
  t.match(statsPage([], query, 'a<b: 1\n').body, 'a&lt;b: 1')
  t.end()
})
