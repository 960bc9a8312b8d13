import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The command of an installed Chromium or Chrome, or null. */
export function findChromium(): string | null {
  const names = [process.env['CHROMIUM'], 'chromium', 'chromium-browser', 'google-chrome']
  return names.find(name => name !== undefined && spawnSync(name, ['--version']).status === 0) ?? null
}

/** One page of a headless Chromium, driven over the DevTools protocol. */
export class Browser {
  private readonly child: ChildProcess
  private readonly profile: string
  private readonly socket: WebSocket
  private readonly waiting = new Map<number, (answer: Answer) => void>()
  private readonly events = new Map<string, () => void>()
  private last = 0

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.child = child
    this.profile = profile
    this.socket = socket
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as Answer
      if (message.id !== undefined) this.waiting.get(message.id)?.(message)
      else if (message.method !== undefined) this.events.get(message.method)?.()
    })
  }

  static async start(command: string): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'remora-chromium-'))
    // Containers have no user namespaces for its sandbox; it opens nothing but our own file.
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0']
    const child = spawn(command, [...flags, `--user-data-dir=${profile}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // A group of its own: its helpers end with it.
      detached: true,
    })
    const address = await new Promise<string>((resolve, reject) => {
      let text = ''
      child.stderr!.on('data', chunk => {
        text += chunk
        const found = /ws:\/\/[^/]+/.exec(text)
        if (found !== null) resolve(found[0].replace('ws:', 'http:'))
      })
      child.once('exit', () => reject(new Error(`chromium ended: ${text}`)))
    })
    const pages = (await (await fetch(`${address}/json`)).json()) as { type: string; webSocketDebuggerUrl: string }[]
    const socket = new WebSocket(pages.find(page => page.type === 'page')!.webSocketDebuggerUrl)
    await new Promise(resolve => socket.addEventListener('open', resolve))
    const browser = new Browser(child, profile, socket)
    await browser.send('Page.enable', {})
    return browser
  }

  /** Loads a page in a window of this width (CSS pixels) and waits until it is complete. */
  async open(url: string, width: number, dark = false): Promise<void> {
    await this.send('Emulation.setDeviceMetricsOverride', { width, height: 900, deviceScaleFactor: 1, mobile: false })
    const features = [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }]
    await this.send('Emulation.setEmulatedMedia', { features })
    const loaded = new Promise<void>(resolve => this.events.set('Page.loadEventFired', resolve))
    await this.send('Page.navigate', { url })
    await loaded
  }

  /** Value of an expression in the page; it must be plain data. */
  async evaluate<T>(expression: string): Promise<T> {
    const answer = await this.send('Runtime.evaluate', { expression, returnByValue: true })
    const thrown = answer.result?.exceptionDetails
    if (thrown !== undefined) throw new Error(JSON.stringify(thrown))
    return answer.result?.result?.value as T
  }

  async stop(): Promise<void> {
    this.socket.close()
    const gone = new Promise(resolve => this.child.once('exit', resolve))
    process.kill(-this.child.pid!, 'SIGKILL')
    await gone
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  }

  private send(method: string, params: object): Promise<Answer> {
    const id = ++this.last
    return new Promise(resolve => {
      this.waiting.set(id, answer => {
        this.waiting.delete(id)
        resolve(answer)
      })
      this.socket.send(JSON.stringify({ id, method, params }))
    })
  }
}

interface Answer {
  readonly id?: number
  readonly method?: string
  readonly result?: { readonly result?: { readonly value?: unknown }; readonly exceptionDetails?: unknown }
}
