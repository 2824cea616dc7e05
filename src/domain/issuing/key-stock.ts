/** RSA keys made in advance, while cores are idle. EC keys are made faster than they could be stored. */
import type { KeyObject } from 'node:crypto'
import type { RsaKeyKind } from '../../signing/key-thread.ts'
import type { KeyThreads } from '../../signing/key-threads.ts'

export interface KeyStock {
  /** Returns a ready key. From the first request for a kind on, keys of it are kept ready. */
  take(kind: RsaKeyKind): KeyObject | undefined
  /** Keeps a key that its caller no longer needs, if there is room for it. */
  keep(kind: RsaKeyKind, key: KeyObject): void
  /** Number of ready keys by kind. */
  readonly counts: ReadonlyMap<RsaKeyKind, number>
  close(): void
}

export interface KeyStockOptions {
  /** Number of keys of each kind. */
  readonly size: number
  readonly kinds: readonly RsaKeyKind[]
  /** Number of cores that may make keys in advance now. */
  readonly idleCores: () => number
  readonly threads: Pick<KeyThreads, 'make'>
}

/** The keys of one kind. */
interface Kept {
  readonly ready: KeyObject[]
  /** Number of keys that are being made. */
  making: number
}

/** How often the stock checks whether cores are idle. */
const LOOK_INTERVAL_MS = 250

export function createKeyStock({ size, kinds, idleCores, threads }: KeyStockOptions): KeyStock {
  const stock = new Map(kinds.map((kind) => [kind, newKept()]))
  let closed = false

  const keep = (kind: RsaKeyKind, key: KeyObject): void => {
    const ready = stock.get(kind)?.ready
    if (ready !== undefined && ready.length < size && !closed) ready.push(key)
  }

  async function makeOne(kind: RsaKeyKind, kept: Kept): Promise<void> {
    kept.making += 1
    try {
      keep(kind, await threads.make(kind))
    } finally {
      kept.making -= 1
    }
    fill()
  }

  /** Makes keys of the kind of which there are fewest, on all idle cores. */
  function fill(): void {
    for (;;) {
      const counted = [...stock].map(([kind, kept]) => ({ kind, kept, count: countOf(kept) }))
      const [next] = counted.toSorted((left, right) => left.count - right.count)
      const making = counted.reduce((sum, { kept }) => sum + kept.making, 0)
      if (closed || next === undefined || next.count >= size || making >= idleCores()) return
      // After a failure the next interval tries again.
      makeOne(next.kind, next.kept).catch(() => undefined)
    }
  }
  const timer = setInterval(fill, LOOK_INTERVAL_MS)
  timer.unref()
  fill()

  return {
    take(kind) {
      const kept = stock.get(kind)
      if (kept === undefined) stock.set(kind, newKept())
      return kept?.ready.shift()
    },
    keep,
    get counts() {
      return new Map([...stock].map(([kind, { ready }]) => [kind, ready.length]))
    },
    close() {
      closed = true
      clearInterval(timer)
      stock.clear()
    },
  }
}

const newKept = (): Kept => ({ ready: [], making: 0 })
const countOf = ({ ready, making }: Kept): number => ready.length + making
