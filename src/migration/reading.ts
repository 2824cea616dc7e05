/** The settings of a watts.conf with the result of each conversion, so that the report covers every line. */
import type { ConfLines, ConfSetting } from './conf-lines.ts'
import { durationMs } from './values.ts'
import { findWattsKey } from './watts-keys.ts'

/**
 * carried: converted unchanged. changed: converted with a difference, which the note describes. dropped: not
 * converted, and the note says why. problem: must be fixed before the service does the same as WaTTS.
 */
export type Fate = 'carried' | 'changed' | 'dropped' | 'problem'

/** The result for one line. */
export interface MigrationFinding {
  /** Undefined if the finding is not about a single line. */
  readonly line: number | undefined
  readonly key: string
  readonly fate: Fate
  /** The key in the new configuration. */
  readonly to: string | undefined
  readonly note: string | undefined
}

interface Bounds {
  readonly least: number
  readonly most: number
}

/** A type of value: its parser, and its description for messages. */
interface ValueType<T> {
  readonly parse: (value: string) => T | undefined
  readonly expected: string
}

/** Gives access to settings by key, and records the result of each. */
export class Reading {
  readonly #settings = new Map<string, ConfSetting>()
  readonly #findings = new Map<ConfSetting, MigrationFinding>()
  readonly #others: MigrationFinding[] = []
  /** True if a line that could not be parsed looks like a forbid rule of any service. */
  readonly lostForbidRule: boolean

  constructor(lines: ConfLines) {
    for (const { line, problem } of lines.problems) this.#others.push(broken(line, problem))
    this.lostForbidRule = lines.problems.some(({ content }) =>
      /authz.*forbid/.test(content.slice(0, 2048)),
    )
    for (const setting of lines.settings) {
      const earlier = this.#settings.get(setting.key)
      // As in WaTTS, the last line with the same key counts.
      if (earlier !== undefined)
        this.dropped(earlier, `line ${setting.line} sets the same key and counts`)
      this.#settings.set(setting.key, setting)
    }
  }

  /** Returns the setting with this key. */
  find(key: string): ConfSetting | undefined {
    return this.#settings.get(key)
  }

  /** Returns all settings whose key begins with these words. */
  under(...words: readonly string[]): readonly ConfSetting[] {
    return [...this.#settings.values()].filter(
      (setting) =>
        setting.words.length > words.length && words.every((word, i) => setting.words[i] === word),
    )
  }

  /**
   * Returns the second words of all keys with this first word, in order of appearance: the ids of providers,
   * services, relying services.
   */
  ids(first: string): readonly string[] {
    return [...new Set(this.under(first).map(({ words }) => words[1] ?? ''))]
  }

  /** Returns the keys of an object, without its first two words. */
  keysOf(first: string, id: string): readonly (readonly string[])[] {
    return this.under(first, id).map(({ words }) => words.slice(2))
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

  /** Records a problem or remark that is not about a single line. */
  remark(fate: 'problem' | 'changed', key: string, note: string): void {
    this.#others.push({ line: undefined, key, fate, to: undefined, note })
  }

  text(key: string, to: string): string | undefined {
    return this.#take(key, to, { parse: (value) => value, expected: 'a value' })
  }

  boolean(key: string, to: string): boolean | undefined {
    const known = new Map([
      ['true', true],
      ['false', false],
    ])
    return this.#take(key, to, { parse: (value) => known.get(value), expected: 'true or false' })
  }

  integer(key: string, to: string, { least, most }: Bounds): number | undefined {
    const parse = (value: string): number | undefined =>
      /^\d{1,9}$/.test(value) && Number(value) >= least && Number(value) <= most
        ? Number(value)
        : undefined
    return this.#take(key, to, { parse, expected: `a whole number from ${least} to ${most}` })
  }

  /** Returns milliseconds. */
  duration(key: string, to: string): number | undefined {
    const expected = 'a duration such as 30s, 15m or 500ms'
    return this.#take(key, to, { parse: durationMs, expected })
  }

  /** Returns all findings in the order of lines; findings without a line come first. */
  findings(): readonly MigrationFinding[] {
    for (const setting of this.#settings.values()) {
      if (!this.#findings.has(setting)) this.#byDefault(setting)
      if (setting.cut && !this.#has(setting, 'dropped')) this.#noteCut(setting)
    }
    const all = [...this.#others, ...this.#findings.values()]
    return all.sort((one, other) => (one.line ?? 0) - (other.line ?? 0))
  }

  #take<T>(key: string, to: string, { parse, expected }: ValueType<T>): T | undefined {
    const setting = this.find(key)
    if (setting === undefined) return undefined
    const value = parse(setting.value)
    if (value === undefined) this.problem(setting, `must be ${expected}`)
    else this.carried(setting, to)
    return value
  }

  /** Records a result. A later result does not replace a problem. */
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
      this.problem(setting, 'unknown key: WaTTS would not have started with it')
    else if (known.note === undefined)
      this.dropped(setting, 'has no effect in combination with the other settings')
    else this.dropped(setting, known.note)
  }

  #noteCut(setting: ConfSetting): void {
    const before = this.#findings.get(setting)
    if (before === undefined) return
    const cut = 'the value ends at the #, as in WaTTS'
    const note = before.note === undefined ? cut : `${before.note}; ${cut}`
    const fate = before.fate === 'carried' ? 'changed' : before.fate
    this.#findings.set(setting, { ...before, fate, note })
  }
}

function broken(line: number, problem: string): MigrationFinding {
  return { line, key: '(line)', fate: 'problem', to: undefined, note: problem }
}
