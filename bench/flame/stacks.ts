/** Stacks from the output of `perf script`, short enough to be read in a picture. */

/** Samples with the same stack. */
export interface Stack {
  /** From the thread down to what it did. */
  readonly frames: readonly string[]
  readonly samples: number
}

interface Sample {
  /** Name and id of the thread. */
  readonly thread: string
  /** Functions, the innermost first, as perf writes them. */
  readonly symbols: readonly string[]
}

/** What a native function is part of. The first that fits a symbol of the stack counts, from the innermost outwards. */
const PARTS: readonly (readonly [RegExp, string])[] = [
  [/sqlite3|walChecksum|^pager|^pcache1|^vdbe/i, 'SQLite'],
  [/Scaveng|MarkCompact|Sweeper|Evacuat|MarkingVisitor/, 'V8: garbage collection'],
  [/OptimizedCompilation|Turboshaft|::compiler::|maglev|Sparkplug|baseline::/, 'V8: compiling'],
  [
    /^(_*bn_|mulx4x|BN_|RSA_|rsa_|EVP_|ossl|OPENSSL|CRYPTO_|ASN1|asn1_|d2i_|i2d_|EC_|ecdsa|ecp_|sha\d|SHA)|DigestSign/,
    'OpenSSL',
  ],
  [/^(do_syscall_64|entry_SYSCALL|asm_|irqentry|el0t?_svc)/, 'kernel'],
]
const REST = 'Node and V8'

/** Reads what `perf script -F comm,tid,ip,sym` writes. */
export function parsePerfScript(text: string): readonly Sample[] {
  return text
    .split('\n\n')
    .map((block) => block.split('\n').filter((line) => line !== ''))
    .flatMap(([head, ...lines]) =>
      head === undefined
        ? []
        : [{ thread: head.trim(), symbols: lines.map((line) => line.trim().replace(/^\S+ /, '')) }],
    )
}

/** Joins the samples that look the same. */
export function foldSamples(samples: readonly Sample[]): readonly Stack[] {
  const names = threadNames(samples)
  const folded = new Map<string, { frames: readonly string[]; samples: number }>()
  for (const { thread, symbols } of samples) {
    const frames = [names.get(thread) ?? thread, ...framesOf(symbols)]
    const key = frames.join('\n')
    const stack = folded.get(key) ?? { frames, samples: 0 }
    stack.samples += 1
    folded.set(key, stack)
  }
  return [...folded.values()]
}

/** Functions in JavaScript, outermost first, and the part of the program that was at work under the last of them. */
function framesOf(symbols: readonly string[]): readonly string[] {
  const innermost = symbols.findIndex(isScript)
  const native = innermost < 0 ? symbols : symbols.slice(0, innermost)
  const scripts = symbols.filter(isScript).map(scriptName).toReversed()
  const frames = native.length === 0 ? scripts : [...scripts, partOf(native)]
  return frames.filter((frame, index) => frame !== frames[index - 1])
}

const isScript = (symbol: string): boolean => symbol.startsWith('JS:')

function partOf(symbols: readonly string[]): string {
  for (const symbol of symbols) {
    const part = PARTS.find(([pattern]) => pattern.test(symbol))
    if (part) return part[1]
  }
  return REST
}

/** `name path` for `JS:*name file:///…/path:line:column`; of a package only its name. */
function scriptName(symbol: string): string {
  const [, name = '', place = ''] = /^JS:[~^+*']*(.*?) ?(\S*?)(:\d+:\d+)?$/.exec(symbol) ?? []
  const packaged = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(place)?.[1]
  if (packaged !== undefined) return packaged
  const path = place.replace(/^.*\/(src|ca|plugins)\//, '$1/')
  return `${name === '' ? '(anonymous)' : name} ${path}`.trim()
}

/** Threads by what was seen in them. All that do the same have one name. */
function threadNames(samples: readonly Sample[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const { thread, symbols } of samples) {
    if (names.get(thread)?.startsWith('thread') === true) continue
    const has = (path: string): boolean => symbols.some((symbol) => symbol.includes(path))
    if (thread.startsWith('Main')) names.set(thread, 'main thread')
    else if (has('/signing/signing-thread.ts')) names.set(thread, 'threads that sign')
    else if (has('/sqlite/sqlite-worker.ts')) names.set(thread, 'thread of SQLite')
    else if (thread.startsWith('V8')) names.set(thread, 'threads of V8')
  }
  return names
}
