/**
 * Gauges that decide (circuit breakers, active requests, error counters, health flags) in memory all threads share, so that
 * limits hold across workers as in Envoy. Main allocates; a worker gets the page and a base index.
 *
 * What a worker adds it also notes in its own mirror of the page: when it dies, main subtracts the mirror, so nothing stays
 * taken by a dead thread. A mirror cell has one writer, therefore no atomics.
 */
const PAGE_CELLS = 1 << 16

/** Cells per cluster, before those of its hosts. */
export const ClusterCell = {
  /** Raised by main whenever a health flag of a host changed: workers rebuild their host sets when they see it. */
  Generation: 0,
  /** `Limits + priority * 5 + kind`: taken resources, `kind` as in `Resource`. */
  Limits: 1,
  /** Raised to 1 by any worker that saw traffic: health checks then run at `interval` instead of `no_traffic_interval`. */
  Traffic: 11,
} as const

export const CLUSTER_BLOCK: BlockKind = { cells: 12, gauges: 10 }
export const HOST_BLOCK: BlockKind = { cells: 18, gauges: 2 }

/** Cloneable: what a worker is sent for one page. */
export interface SharedPageView {
  readonly index: number
  readonly shared: SharedArrayBuffer
  /** The worker's own mirror. */
  readonly mirror: SharedArrayBuffer
}

/** A run of cells; `base` indexes the page's Int32 array. Cloneable. */
export interface SharedBlock {
  readonly page: number
  readonly base: number
  readonly cells: number
  /** Cells 1 to `gauges` are taken and given back; the others are flags and counters. */
  readonly gauges: number
}

/** Layout of a block: its size and how many gauges follow cell 0. */
export interface BlockKind {
  readonly cells: number
  readonly gauges: number
}

class Page {
  readonly shared = new SharedArrayBuffer(PAGE_CELLS * 4)
  readonly cells = new Int32Array(this.shared)
  readonly mirrors: SharedArrayBuffer[] = []
  readonly blocks = new Map<number, SharedBlock>()
  used = 0
}

interface Retired {
  readonly block: SharedBlock
  readonly epoch: number
}

/** Main side. `onPage` announces a page made later to workers that run already. */
export class SharedStateAllocator {
  private readonly pages: Page[] = []
  private readonly workers: number
  private readonly acknowledged: number[]
  /** Free blocks by size: few sizes exist, so exact fit is enough. */
  private readonly free = new Map<number, SharedBlock[]>()
  private retired: Retired[] = []
  private epoch = 0
  private readonly onPage: (index: number) => void

  constructor(workers: number, onPage: (index: number) => void = () => {}) {
    this.workers = workers
    this.acknowledged = new Array(workers).fill(0)
    this.onPage = onPage
  }

  /** All cells are 0. */
  allocate(kind: BlockKind): SharedBlock {
    const cells = kind.cells
    const block = this.free.get(cells)?.pop()
    if (block !== undefined) {
      const page = this.pages[block.page]!
      for (let i = 0; i < cells; i++) {
        Atomics.store(page.cells, block.base + i, 0)
        for (const m of page.mirrors) new Int32Array(m)[block.base + i] = 0
      }
      return block
    }
    let page = this.pages[this.pages.length - 1]
    if (page === undefined || page.used + cells > PAGE_CELLS) {
      page = new Page()
      for (let w = 0; w < this.workers; w++) page.mirrors.push(new SharedArrayBuffer(PAGE_CELLS * 4))
      this.pages.push(page)
      this.onPage(this.pages.length - 1)
    }
    const base = page.used
    page.used += cells
    const made: SharedBlock = { page: this.pages.length - 1, base, cells, gauges: kind.gauges }
    page.blocks.set(base, made)
    return made
  }

  /**
   * The block will not be handed out again before every worker has confirmed (`acknowledge`) an update of this epoch or later
   * and nobody holds anything of it any more. Returns the epoch to send along (`newestEpoch`) with what drops the block.
   */
  retire(block: SharedBlock): number {
    this.epoch++
    this.retired.push({ block, epoch: this.epoch })
    return this.epoch
  }

  /** Of the newest retirement: what every batch that leaves now is to be confirmed with. */
  get newestEpoch(): number {
    return this.epoch
  }

  /** `worker` has applied all updates up to `epoch`. Frees what became free. */
  acknowledge(worker: number, epoch: number): void {
    this.acknowledged[worker] = Math.max(this.acknowledged[worker]!, epoch)
    this.reclaim()
  }

  /** Also to be called now and then: held cells fall to 0 without a message. */
  reclaim(): void {
    const oldest = Math.min(this.epoch, ...this.acknowledged)
    const rest: Retired[] = []
    for (const r of this.retired) {
      if (r.epoch <= oldest && this.isIdle(r.block)) {
        const list = this.free.get(r.block.cells)
        if (list === undefined) this.free.set(r.block.cells, [r.block])
        else list.push(r.block)
      } else {
        rest.push(r)
      }
    }
    this.retired = rest
  }

  /** `worker` died: gives back whatever it had taken. Its mirrors are ready for its replacement, its counters are kept. */
  releaseWorker(worker: number): void {
    for (const page of this.pages) {
      const mirror = new Int32Array(page.mirrors[worker]!)
      for (const block of page.blocks.values()) {
        for (let i = block.base + 1; i <= block.base + block.gauges; i++) {
          const share = mirror[i]!
          if (share === 0) continue
          Atomics.sub(page.cells, i, share)
          mirror[i] = 0
        }
      }
    }
    // It will never confirm what it was sent; its successor starts from the newest state.
    this.acknowledged[worker] = this.epoch
    this.reclaim()
  }

  view(worker: number, index: number): SharedPageView {
    const page = this.pages[index]!
    return { index, shared: page.shared, mirror: page.mirrors[worker]! }
  }

  get pageCount(): number {
    return this.pages.length
  }

  /** Main's own access. */
  cells(block: SharedBlock): SharedCells {
    return new SharedCells(this.pages[block.page]!.cells, null, block.base)
  }

  /** A counter of a block (`SharedCells.count`), over all workers that were and are. */
  counter(block: SharedBlock, index: number): number {
    let sum = 0
    for (const mirror of this.pages[block.page]!.mirrors) sum += new Uint32Array(mirror)[block.base + index]!
    return sum
  }

  private isIdle(block: SharedBlock): boolean {
    for (const mirror of this.pages[block.page]!.mirrors) {
      const gauges = new Int32Array(mirror, (block.base + 1) * 4, block.gauges)
      for (let i = 0; i < gauges.length; i++) if (gauges[i] !== 0) return false
    }
    return true
  }
}

/** Worker side: pages by index. */
export class SharedPages {
  private readonly shared: Int32Array[] = []
  private readonly mirrors: Int32Array[] = []

  add(view: SharedPageView): void {
    this.shared[view.index] = new Int32Array(view.shared)
    this.mirrors[view.index] = new Int32Array(view.mirror)
  }

  /** Throws when the page was not announced: that is a bug of the sender. */
  cells(block: SharedBlock): SharedCells {
    const shared = this.shared[block.page]
    if (shared === undefined) throw new Error(`shared page ${block.page} was not announced`)
    return new SharedCells(shared, this.mirrors[block.page]!, block.base)
  }
}

/** The cells of one cluster or host. `index`: of ClusterCell or HostCell. */
export class SharedCells {
  private readonly shared: Int32Array
  private readonly mine: Int32Array | null
  private readonly base: number

  constructor(shared: Int32Array, mine: Int32Array | null, base: number) {
    this.shared = shared
    this.mine = mine
    this.base = base
  }

  load(index: number): number {
    return Atomics.load(this.shared, this.base + index)
  }

  store(index: number, value: number): void {
    Atomics.store(this.shared, this.base + index, value)
  }

  /** Takes `n` of a gauge and notes it as this thread's; returns the new value. */
  take(index: number, n: number): number {
    const i = this.base + index
    if (this.mine !== null) this.mine[i] = this.mine[i]! + n
    return Atomics.add(this.shared, i, n) + n
  }

  /** Of `n` that stay taken, another thread answers for as many less from now on (`n` < 0), or this one for as many more. */
  own(index: number, n: number): void {
    if (this.mine !== null) this.mine[this.base + index]! += n
  }

  /** Takes one unless `max` are taken already, by whomever. Never exceeds `max`, even for a moment. */
  takeBelow(index: number, max: number): boolean {
    const i = this.base + index
    let seen = Atomics.load(this.shared, i)
    while (seen < max) {
      const before = Atomics.compareExchange(this.shared, i, seen, seen + 1)
      if (before === seen) {
        if (this.mine !== null) this.mine[i] = this.mine[i]! + 1
        return true
      }
      seen = before
    }
    return false
  }

  /** A counter nobody's death takes back; returns the new value. */
  add(index: number, n: number): number {
    return Atomics.add(this.shared, this.base + index, n) + n
  }

  /** Counts in this worker's mirror only: no other thread writes there, so it costs a plain store. */
  count(index: number): void {
    if (this.mine !== null) this.mine[this.base + index]!++
  }

  exchange(index: number, value: number): number {
    return Atomics.exchange(this.shared, this.base + index, value)
  }

  /** Returns the bits before. */
  setBits(index: number, bits: number): number {
    return Atomics.or(this.shared, this.base + index, bits)
  }

  clearBits(index: number, bits: number): number {
    return Atomics.and(this.shared, this.base + index, ~bits)
  }
}

/** One gauge of a block, with whom it counts for: what filters and listeners count over all workers. */
export class SharedGauge {
  readonly #cells: SharedCells
  readonly #index: number

  constructor(cells: SharedCells, index: number) {
    this.#cells = cells
    this.#index = index
  }

  /** What all workers hold. */
  get value(): number {
    return this.#cells.load(this.#index)
  }

  /** Takes one unless `max` are taken already. */
  tryTake(max: number): boolean {
    return this.#cells.takeBelow(this.#index, max)
  }

  take(): void {
    this.#cells.take(this.#index, 1)
  }

  give(): void {
    this.#cells.take(this.#index, -1)
  }

  /** One that stays taken goes to another worker, which calls `receive`; `lost` when it died before. */
  hand(): void {
    this.#cells.own(this.#index, -1)
  }

  receive(): void {
    this.#cells.own(this.#index, 1)
  }

  lost(): void {
    this.#cells.add(this.#index, -1)
  }
}

/** The gauges of a block that has nothing else. */
export function gaugesOf(cells: SharedCells, count: number): SharedGauge[] {
  return Array.from({ length: count }, (_, i) => new SharedGauge(cells, i + 1))
}

/** Gauges of one thread alone, where main has allocated none. */
export function ownGauges(count: number): SharedGauge[] {
  return gaugesOf(new SharedCells(new Int32Array(count + 1), null, 0), count)
}

/** What `gaugesOf` reads. */
export function gaugeBlock(count: number): BlockKind {
  return { cells: count + 1, gauges: count }
}
