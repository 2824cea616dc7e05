/** Executable plugins in tests: settings with defaults, a caller, and a log that is kept. */
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import {
  createExecutablePlugin,
  type ExecutablePlugin,
} from '../../plugins/executable/executable-plugin.ts'
import type { PluginLog } from '../../plugins/executable/runner.ts'
import { type ExecutableSettings, executableSettings } from '../../plugins/executable/settings.ts'
import { type PluginAnswer, type PluginCaller, PluginError } from '../../plugins/plugin.ts'

/** Path of a plugin in test/plugins/fixtures. */
export const fixture = (name: string): string => join(import.meta.dirname, 'fixtures', name)

export const caller: PluginCaller = {
  publishedIssuer: 'https://iam.example.org/',
  issuer: 'https://iam.example.org',
  sub: '9e499e0e-ce25-485b-9353-d19726fd287a',
  claims: {
    email: 'zoë@example.org',
    groups: ['cms'],
    aud: 'tts',
    exp: 1,
    scope: 'openid profile',
  },
  accessToken: undefined,
  additionalLogins: [],
}

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly event: string
  readonly [field: string]: unknown
}

/** A log that keeps its lines. */
export function keptLog(): PluginLog & { readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const keep =
    (level: LogLine['level']) =>
    (fields: object, event: string): void =>
      void lines.push({ ...fields, level, event })
  return { lines, info: keep('info'), warn: keep('warn'), error: keep('error') }
}

type Given = Partial<Record<keyof ExecutableSettings, unknown>>

/** A plugin with settings of its own; `directory` is where its runs have theirs. */
export interface TestPlugin {
  readonly plugin: ExecutablePlugin
  readonly lines: readonly LogLine[]
  readonly directory: string
}

/** A directory for the tests of one file, removed after them. */
export function useDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tts-test-plugins-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A plugin of test/plugins/fixtures, started. */
export async function startPlugin(
  directory: string,
  name: string,
  given: Given = {},
): Promise<TestPlugin> {
  const made = makePlugin(directory, name, given)
  await made.plugin.start(AbortSignal.timeout(20_000))
  return made
}

/** The same before its start. */
export function makePlugin(directory: string, name: string, given: Given = {}): TestPlugin {
  const log = keptLog()
  const settings = executableSettings.parse({
    command: [fixture(name)],
    working_directory: directory,
    // Tests may run as root; plugins-as-users.test.ts is about that.
    ...(given.user === undefined && { allow_root: true }),
    ...given,
  })
  const plugin = createExecutablePlugin(name, settings, { log })
  return { plugin, lines: log.lines, directory }
}

export const soon = (): AbortSignal => AbortSignal.timeout(20_000)

/** The value of the first entry that a request gives. */
export async function firstValue(plugin: ExecutablePlugin, who = caller): Promise<string> {
  return valueOf(await plugin.request(who, {}, soon()))
}

export function valueOf(answer: PluginAnswer): string {
  if (answer.kind !== 'credential') throw new Error('no credential')
  return answer.entries[0]?.value ?? ''
}

/** What a refusal says; throws when there is none. */
export async function refusalOf(work: Promise<unknown>): Promise<{
  readonly code: string
  readonly message: string
  readonly cause: string
}> {
  try {
    await work
  } catch (error) {
    if (!(error instanceof PluginError)) throw error
    const cause = error.cause instanceof Error ? error.cause.message : ''
    return { code: error.code, message: error.message, cause }
  }
  throw new Error('it was not refused')
}

/** Whether a process is gone, or no more than a zombie, within a second: a signal takes its time to be heard. */
export async function isGone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 100; tries += 1) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    if (status === '' || /^State:\s+[ZX]/m.test(status)) return true
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return false
}
