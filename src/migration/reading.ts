/** The settings of a watts.conf, each with what became of it: nothing is left without an answer. */
import type { ConfLines, ConfSetting } from './conf-lines.ts'
import { durationMs } from './values.ts'
import { findWattsKey } from './watts-keys.ts'

/**
 * carried: the same under our key. changed: carried, with a difference that the note tells. dropped: not carried, the note tells why.
 * problem: somebody has to fix it before the result is what WaTTS did.
 */
export type Fate = 'carried' | 'changed' | 'dropped' | 'problem'

/** What became of one line. */
export interface MigrationFinding {
  /** Undefined: of no one line. */
  readonly line: number | undefined
  readonly key: string
  readonly fate: Fate
  /** Our key. */
  readonly to: string | undefined
  readonly note: string | undefined
}

interface Bounds {
  readonly least: number
  readonly most: number
}

/** How the value of a setting is read. */
interface Kind<T> {
  readonly parse: (value: string) => T | undefined
  readonly wanted: string
}

/** Takes settings by key, and keeps account of them. */
export class Reading {
  readonly #settings = new Map<string, ConfSetting>()
  readonly #findings = new Map<ConfSetting, MigrationFinding>()
  readonly #others: MigrationFinding[] = []
  /** True: a line that could not be read looks like a forbid rule, of whatever service. */
  readonly lostForbidRule: boolean

  constructor(lines: ConfLines) {
    for (const { line, problem } of lines.problems) this.#others.push(broken(line, problem))
    this.lostForbidRule = lines.problems.some(({ content }) =>
      /authz.*forbid/.test(content.slice(0, 2048)),
    )
    for (const setting of lines.settings) {
      const earlier = this.#settings.get(setting.key)
      // As in WaTTS: what is said last counts.
      if (earlier !== undefined)
        this.dropped(earlier, `said again in line ${setting.line}, which counts`)
      this.#settings.set(setting.key, setting)
    }
  }

  /** The setting under this key. */
  find(key: string): ConfSetting | undefined {
    return this.#settings.get(key)
  }

  /** All settings whose key begins with these words. */
  under(...words: readonly string[]): readonly ConfSetting[] {
    return [...this.#settings.values()].filter(
      (setting) =>
        setting.words.length > words.length && words.every((word, i) => setting.words[i] === word),
    )
  }

  /** What stands behind the first word, in order of appearance: the ids of providers, services, relying services. */
  ids(first: string): readonly string[] {
    return [...new Set(this.under(first).map(({ words }) => words[1] ?? ''))]
  }

  carried(setting: ConfSetting, to: string): void {
    this.#conclude(setting, 'carried', { to })
  }

  changed(setting: ConfSetting, to: string, note: string): void {
    this.#conclude(setting, 'changed', { to, note })
  }

  dropped(setting: ConfSetting, note: string): void {
    this.#conclude(setting, 'dropped', { note })
  }

  problem(setting: ConfSetting, note: string): void {
    this.#conclude(setting, 'problem', { note })
  }

  /** A problem, or a remark, that no one line has. */
  remark(fate: 'problem' | 'changed', key: string, note: string): void {
    this.#others.push({ line: undefined, key, fate, to: undefined, note })
  }

  text(key: string, to: string): string | undefined {
    return this.#take(key, to, { parse: (value) => value, wanted: 'a value' })
  }

  boolean(key: string, to: string): boolean | undefined {
    const known = new Map([
      ['true', true],
      ['false', false],
    ])
    return this.#take(key, to, { parse: (value) => known.get(value), wanted: 'true or false' })
  }

  integer(key: string, to: string, { least, most }: Bounds): number | undefined {
    const parse = (value: string): number | undefined =>
      /^\d{1,9}$/.test(value) && Number(value) >= least && Number(value) <= most
        ? Number(value)
        : undefined
    return this.#take(key, to, { parse, wanted: `a whole number from ${least} to ${most}` })
  }

  /** In milliseconds. */
  duration(key: string, to: string): number | undefined {
    const wanted = 'a duration such as 30s, 15m or 500ms'
    return this.#take(key, to, { parse: durationMs, wanted })
  }

  /** What became of everything, in order of lines; first what is of no line. */
  findings(): readonly MigrationFinding[] {
    for (const setting of this.#settings.values()) {
      if (!this.#findings.has(setting)) this.#byDefault(setting)
      if (setting.cut && !this.#has(setting, 'dropped')) this.#noteCut(setting)
    }
    const all = [...this.#others, ...this.#findings.values()]
    return all.sort((one, other) => (one.line ?? 0) - (other.line ?? 0))
  }

  #take<T>(key: string, to: string, { parse, wanted }: Kind<T>): T | undefined {
    const setting = this.find(key)
    if (setting === undefined) return undefined
    const value = parse(setting.value)
    if (value === undefined) this.problem(setting, `must be ${wanted}`)
    else this.carried(setting, to)
    return value
  }

  /** A problem stays one, whatever is said of the setting later. */
  #conclude(
    setting: ConfSetting,
    fate: Fate,
    { to, note }: Partial<Pick<MigrationFinding, 'to' | 'note'>>,
  ): void {
    if (this.#has(setting, 'problem')) return
    this.#findings.set(setting, { line: setting.line, key: setting.key, fate, to, note })
  }

  #has(setting: ConfSetting, fate: Fate): boolean {
    return this.#findings.get(setting)?.fate === fate
  }

  #byDefault(setting: ConfSetting): void {
    const known = findWattsKey(setting.words)
    if (known === undefined)
      this.problem(setting, 'no key of WaTTS, which would not have started with it')
    else if (known.note === undefined)
      this.dropped(setting, 'of no effect beside the other settings')
    else this.dropped(setting, known.note)
  }

  #noteCut(setting: ConfSetting): void {
    const before = this.#findings.get(setting)
    if (before === undefined) return
    const cut = 'WaTTS read the value up to the # only, and so was it read here'
    const note = before.note === undefined ? cut : `${before.note}; ${cut}`
    const fate = before.fate === 'carried' ? 'changed' : before.fate
    this.#findings.set(setting, { ...before, fate, note })
  }
}

function broken(line: number, problem: string): MigrationFinding {
  return { line, key: '(line)', fate: 'problem', to: undefined, note: problem }
}
