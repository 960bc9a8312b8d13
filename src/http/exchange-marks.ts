const Mark = {
  IsHead: 1,
  IsGrpc: 2,
  IsUpgrade: 4,
  IsConnect: 8,
  RequestComplete: 16,
  ResponseStarted: 32,
  ResponseComplete: 64,
  Finished: 128,
  DecodingBegun: 256,
  RouteKnown: 512,
  Decorates: 1024,
} as const
type Mark = (typeof Mark)[keyof typeof Mark]

/** What is so about an exchange: bits of one number, since fields would take 80 bytes of every request in flight. */
export class ExchangeMarks {
  private marks = 0

  get isHead(): boolean {
    return (this.marks & Mark.IsHead) !== 0
  }
  set isHead(on: boolean) {
    this.mark(Mark.IsHead, on)
  }

  get isGrpc(): boolean {
    return (this.marks & Mark.IsGrpc) !== 0
  }
  set isGrpc(on: boolean) {
    this.mark(Mark.IsGrpc, on)
  }

  get isUpgrade(): boolean {
    return (this.marks & Mark.IsUpgrade) !== 0
  }
  set isUpgrade(on: boolean) {
    this.mark(Mark.IsUpgrade, on)
  }

  /** The request came as CONNECT. */
  get isConnect(): boolean {
    return (this.marks & Mark.IsConnect) !== 0
  }
  set isConnect(on: boolean) {
    this.mark(Mark.IsConnect, on)
  }

  /** The client has sent everything. */
  get requestComplete(): boolean {
    return (this.marks & Mark.RequestComplete) !== 0
  }
  set requestComplete(on: boolean) {
    this.mark(Mark.RequestComplete, on)
  }

  /** Response headers went to the codec. */
  get responseStarted(): boolean {
    return (this.marks & Mark.ResponseStarted) !== 0
  }
  set responseStarted(on: boolean) {
    this.mark(Mark.ResponseStarted, on)
  }

  /** The last byte of the response went to the codec. */
  get responseComplete(): boolean {
    return (this.marks & Mark.ResponseComplete) !== 0
  }
  set responseComplete(on: boolean) {
    this.mark(Mark.ResponseComplete, on)
  }

  get finished(): boolean {
    return (this.marks & Mark.Finished) !== 0
  }
  set finished(on: boolean) {
    this.mark(Mark.Finished, on)
  }

  get decodingBegun(): boolean {
    return (this.marks & Mark.DecodingBegun) !== 0
  }
  set decodingBegun(on: boolean) {
    this.mark(Mark.DecodingBegun, on)
  }

  get routeKnown(): boolean {
    return (this.marks & Mark.RouteKnown) !== 0
  }
  set routeKnown(on: boolean) {
    this.mark(Mark.RouteKnown, on)
  }

  /** Operation names of decorators are exchanged with the client. */
  get decorates(): boolean {
    return (this.marks & Mark.Decorates) !== 0
  }
  set decorates(on: boolean) {
    this.mark(Mark.Decorates, on)
  }

  protected resetMarks(): void {
    this.marks = 0
  }

  private mark(mark: Mark, on: boolean): void {
    this.marks = on ? this.marks | mark : this.marks & ~mark
  }
}
