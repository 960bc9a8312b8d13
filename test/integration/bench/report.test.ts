import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { renderReport } from '../../../bench/load/report/render.ts'
import { Browser, findChromium } from '../../harness/chromium.ts'
import { fixtureReport } from '../../unit/bench/report/fixture.ts'
import { hostileReport } from '../../unit/bench/report/hostile.ts'

t.setTimeout(280_000)

/** The page as a browser sees it. Structure and escaping without a browser: test/unit/bench/report. */
const command = findChromium()
const skip = command === null && 'no Chromium (apt-get install chromium): the report was not looked at'

/** Labels that leave their plot, by more than a pixel of rounding. */
const CLIPPED = `[...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width > 0).flatMap(svg => {
  const frame = svg.getBoundingClientRect()
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect()
    return box.left < frame.left - 1.5 || box.right > frame.right + 1.5 || box.top < frame.top - 1.5 || box.bottom > frame.bottom + 1.5
  }).map(text => text.textContent + ' in ' + svg.querySelector('title').textContent)
})`

/** Sizes of letters in plots, in CSS pixels on the screen. */
const SMALLEST = `Math.min(...[...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width > 0).flatMap(svg => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width
  return [...svg.querySelectorAll('text')].map(text => parseFloat(getComputedStyle(text).fontSize) * scale)
}))`

t.test('the report in a browser', { skip }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-report-'))
  const browser = await Browser.start(command!)
  t.teardown(async () => {
    await browser.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return `file://${join(folder, name)}`
  }
  const url = file('report.html', renderReport(fixtureReport()))

  for (const width of [1280, 800, 400]) {
    await t.test(`at ${width} pixels nothing is cut off, nothing is too small, nothing scrolls sideways`, async t => {
      await browser.open(url, width)
      t.same(await browser.evaluate(CLIPPED), [])
      const smallest = await browser.evaluate<number>(SMALLEST)
      t.ok(smallest >= 9.5, `smallest letters ${smallest} px`)
      t.ok((await browser.evaluate<number>('document.documentElement.scrollWidth')) <= width)
      const plots =
        'document.querySelectorAll("svg").length && [...document.querySelectorAll("figure")].every(f => [...f.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().width > 100).length === 1)'
      t.ok(await browser.evaluate(plots), 'each figure shows one drawing')
    })
  }

  await t.test('dark where the reader wants it', async t => {
    const paper = 'getComputedStyle(document.body).backgroundColor'
    await browser.open(url, 1000, true)
    t.equal(await browser.evaluate(paper), 'rgb(18, 21, 25)')
    await browser.open(url, 1000)
    t.equal(await browser.evaluate(paper), 'rgb(255, 255, 255)')
  })

  await t.test('it asks for nothing, and hostile text stays text', async t => {
    await browser.open(file('hostile.html', renderReport(hostileReport())), 1280)
    t.equal(await browser.evaluate('typeof window.broken'), 'undefined')
    t.equal(await browser.evaluate('document.scripts.length + document.images.length'), 0)
    t.equal(await browser.evaluate('performance.getEntriesByType("resource").length'), 0)
    t.match(await browser.evaluate('document.body.textContent'), '<script>window.broken=1</script>')
  })
})
