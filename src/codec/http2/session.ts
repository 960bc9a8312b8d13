import { TimerNode as Timer, type TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import type { Http2Connection } from './connection.ts'
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FRAME_HEAD,
  FrameType,
  LARGEST_FRAME_SIZE,
  MAX_STREAM_ID,
  PREFACE,
  readUint32,
  Setting,
  writeFrameHead,
  writeUint32,
} from './frames.ts'
import type { Http2Options } from './options.ts'
import { output } from './output.ts'
import { type Http2Stream, Mark } from './stream.ts'

const TimerKind = { Settings: 0, KeepaliveInterval: 1, KeepaliveTimeout: 2, Flush: 3 } as const

/** Envoy's details of a connection closed for an unanswered PING. */
const PING_TIMEOUT = 'http2_ping_timeout'

/** What concerns the connection as a whole: SETTINGS, PING and keepalive, GOAWAY. */
export class Session implements TimerOwner {
  /** SETTINGS_MAX_CONCURRENT_STREAMS of the peer. */
  maxConcurrentStreams = Number.MAX_SAFE_INTEGER
  goAwayReceived = false
  /** We sent a final GOAWAY: streams above this id are refused. */
  lastAllowed = MAX_STREAM_ID
  private draining = 0
  private settingsAcked = false
  private keepaliveArmed = false
  private awaitingPong = false
  /** Something arrived since the PING. */
  private heard = false
  private lastHeard: number
  private readonly settingsTimer: TimerNode
  private readonly intervalTimer: TimerNode
  private readonly timeoutTimer: TimerNode
  private readonly flushTimer: TimerNode
  private flushArmed = false
  private readonly owner: Http2Connection
  private readonly options: Http2Options
  private readonly timers: Timers

  constructor(owner: Http2Connection, options: Http2Options, timers: Timers) {
    this.owner = owner
    this.options = options
    this.timers = timers
    this.lastHeard = timers.now()
    this.settingsTimer = new Timer(this, TimerKind.Settings)
    this.intervalTimer = new Timer(this, TimerKind.KeepaliveInterval)
    this.timeoutTimer = new Timer(this, TimerKind.KeepaliveTimeout)
    this.flushTimer = new Timer(this, TimerKind.Flush)
  }

  /** Sends the preface: our SETTINGS in Envoy's order, and the connection window. */
  start(client: boolean): void {
    const options = this.options
    const sender = this.owner.sender
    const settings: [number, number][] = []
    for (const [id, value] of options.customSettings) settings.push([id, value])
    if (client) settings.push([Setting.EnablePush, 0])
    settings.push([Setting.HeaderTableSize, options.hpackTableSize])
    settings.push([Setting.EnableConnectProtocol, options.allowConnect ? 1 : 0])
    settings.push([Setting.MaxConcurrentStreams, options.maxConcurrentStreams])
    settings.push([Setting.InitialWindowSize, options.initialStreamWindowSize])
    const length = settings.length * 6
    output.reserve(sender, PREFACE.length + FRAME_HEAD + length)
    if (client) {
      output.bytes.set(PREFACE, output.at)
      output.at += PREFACE.length
    }
    writeFrameHead(output.bytes, output.at, length, FrameType.Settings, 0, 0)
    output.at += FRAME_HEAD
    for (const [id, value] of settings) {
      output.bytes[output.at] = id >>> 8
      output.bytes[output.at + 1] = id
      writeUint32(output.bytes, output.at + 2, value)
      output.at += 6
    }
    const more = options.initialConnectionWindowSize - DEFAULT_WINDOW
    if (more > 0) sender.word(FrameType.WindowUpdate, 0, more)
    if (options.settingsTimeout > 0) this.timers.arm(this.settingsTimer, options.settingsTimeout)
    this.armInterval()
  }

  /** Any bytes from the peer. */
  arrived(): void {
    if (this.options.connectionKeepalive === null) return
    this.heard = true
    this.lastHeard = this.timers.now()
  }

  /** Client side, before a stream: PING first when the connection was idle for long. */
  beforeStream(): void {
    const keepalive = this.options.connectionKeepalive
    if (keepalive === null || keepalive.connectionIdleInterval === 0) return
    if (this.timers.now() - this.lastHeard > keepalive.connectionIdleInterval) this.ping()
  }

  onSettings(ack: boolean, from: Buffer, start: number, end: number): void {
    if (ack) {
      if (!this.settingsAcked) {
        this.settingsAcked = true
        this.timers.cancel(this.settingsTimer)
        this.owner.hpack.setLimit(this.options.hpackTableSize)
      }
      return
    }
    for (let at = start; at < end; at += 6) {
      const id = (from[at]! << 8) | from[at + 1]!
      const code = this.apply(id, readUint32(from, at + 2))
      if (code !== ErrorCode.NoError) {
        this.owner.fail(code, 'bad SETTINGS value')
        return
      }
    }
    output.reserve(this.owner.sender, FRAME_HEAD)
    writeFrameHead(output.bytes, output.at, 0, FrameType.Settings, Flag.Ack, 0)
    output.at += FRAME_HEAD
    this.owner.limits.controlFrameSent()
    // A larger initial window may have opened streams; their DATA goes behind the acknowledgement.
    this.owner.sender.pumpAll()
  }

  onPing(ack: boolean, from: Buffer, start: number): void {
    if (ack) {
      if (!this.awaitingPong) return
      this.awaitingPong = false
      this.timers.cancel(this.timeoutTimer)
      this.armInterval()
      return
    }
    output.reserve(this.owner.sender, FRAME_HEAD + 8)
    writeFrameHead(output.bytes, output.at, 8, FrameType.Ping, Flag.Ack, 0)
    output.at += FRAME_HEAD
    from.copy(output.bytes, output.at, start, start + 8)
    output.at += 8
    this.owner.limits.controlFrameSent()
  }

  /** RFC 9113 §6.8: first 2^31-1 as a warning, later the last stream that will be served. */
  drain(final: boolean, lastId: number): void {
    if (this.draining >= (final ? 2 : 1)) return
    this.draining = final ? 2 : 1
    if (final) this.lastAllowed = lastId
    this.goAway(final ? lastId : MAX_STREAM_ID, ErrorCode.NoError, '')
    if (final) this.owner.stats.goawaySent.inc()
  }

  goAway(lastId: number, code: ErrorCode, debug: string): void {
    const length = 8 + debug.length
    output.reserve(this.owner.sender, FRAME_HEAD + length)
    writeFrameHead(output.bytes, output.at, length, FrameType.GoAway, 0, 0)
    writeUint32(output.bytes, output.at + FRAME_HEAD, lastId)
    writeUint32(output.bytes, output.at + FRAME_HEAD + 4, code)
    output.bytes.latin1Write(debug, output.at + FRAME_HEAD + 8, debug.length)
    output.at += FRAME_HEAD + length
  }

  onTimer(kind: number): void {
    if (this.owner.failed) return
    const keepalive = this.options.connectionKeepalive
    if (kind === TimerKind.Settings) this.owner.fail(ErrorCode.SettingsTimeout, 'SETTINGS not acknowledged')
    else if (kind === TimerKind.KeepaliveInterval) this.ping()
    else if (kind === TimerKind.Flush) this.checkFlush()
    else if (this.heard && keepalive !== null) {
      // As in Envoy: a peer that sends other things is alive, its answer may stand behind them.
      this.heard = false
      this.timers.arm(this.timeoutTimer, keepalive.timeout)
    } else {
      this.owner.stats.keepaliveTimeout.inc()
      this.owner.timedOut(PING_TIMEOUT)
    }
  }

  /** A message is complete here but waits for flow control. */
  awaitFlush(): void {
    if (this.flushArmed || this.options.streamFlushTimeout === 0) return
    this.flushArmed = true
    this.timers.arm(this.flushTimer, this.options.streamFlushTimeout)
  }

  close(): void {
    this.timers.cancel(this.flushTimer)
    this.timers.cancel(this.settingsTimer)
    this.timers.cancel(this.intervalTimer)
    this.timers.cancel(this.timeoutTimer)
  }

  private checkFlush(): void {
    this.flushArmed = false
    const stalled: Http2Stream[] = []
    const others = this.owner.sender.findStalled(stalled)
    for (const s of stalled) if (!s.is(Mark.Closed)) this.owner.flushTimedOut(s)
    if (others && !this.owner.failed) this.awaitFlush()
  }

  private ping(): void {
    const keepalive = this.options.connectionKeepalive
    if (keepalive === null || this.awaitingPong) return
    this.awaitingPong = true
    this.heard = false
    this.keepaliveArmed = false
    output.reserve(this.owner.sender, FRAME_HEAD + 8)
    writeFrameHead(output.bytes, output.at, 8, FrameType.Ping, 0, 0)
    writeUint32(output.bytes, output.at + FRAME_HEAD, 0)
    writeUint32(output.bytes, output.at + FRAME_HEAD + 4, this.timers.now() >>> 0)
    output.at += FRAME_HEAD + 8
    this.timers.arm(this.timeoutTimer, keepalive.timeout)
  }

  private armInterval(): void {
    const keepalive = this.options.connectionKeepalive
    if (keepalive === null || keepalive.interval === 0 || this.keepaliveArmed) return
    this.keepaliveArmed = true
    const jitter = Math.random() * ((keepalive.interval * keepalive.intervalJitter) / 100)
    this.timers.arm(this.intervalTimer, keepalive.interval + jitter)
  }

  private apply(id: number, value: number): ErrorCode {
    const owner = this.owner
    switch (id) {
      case Setting.HeaderTableSize:
        owner.sender.encoder.setPeerLimit(value)
        return ErrorCode.NoError
      case Setting.EnablePush:
        // §6.5.2: a server must not set it to anything but 0.
        return value > 1 || (value === 1 && owner.isClient) ? ErrorCode.ProtocolError : ErrorCode.NoError
      case Setting.MaxConcurrentStreams:
        this.maxConcurrentStreams = value
        return ErrorCode.NoError
      case Setting.InitialWindowSize:
        if (value > 0x7fffffff) return ErrorCode.FlowControlError
        return owner.changeInitialWindow(value) ? ErrorCode.NoError : ErrorCode.FlowControlError
      case Setting.MaxFrameSize:
        if (value < 16384 || value > LARGEST_FRAME_SIZE) return ErrorCode.ProtocolError
        // Larger frames would only let one stream hold the others up.
        return ErrorCode.NoError
      case Setting.EnableConnectProtocol:
        // Nothing else: Envoy sends `:protocol` to servers that announce 0 or nothing, and their refusal is the answer.
        return value > 1 ? ErrorCode.ProtocolError : ErrorCode.NoError
      default:
        return ErrorCode.NoError
    }
  }
}
