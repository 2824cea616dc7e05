/** The report of a run: one page of Markdown. */
import { type Evidence, type Recovery, TOGETHER } from './evidence.ts'
import { type Findings, invariants } from './invariants.ts'
import type { Plan } from './plan.ts'

export interface Run {
  readonly plan: Plan
  readonly minutes: number
  /** Killed processes by fault. */
  readonly kills: ReadonlyMap<string, number>
  readonly notPossible: readonly string[]
  readonly findings: Findings
  readonly evidence: Evidence
  readonly refusedByProvider: number
  /** The run was ended before its time, or by an error. */
  readonly cutShort: string | undefined
}

/** Lines of violations that are shown of each kind. */
const SHOWN = 10

export interface Report {
  readonly text: string
  readonly isGood: boolean
}

export function reportOf(run: Run): Report {
  const { findings, plan, cutShort } = run
  const verdicts = invariants.map(({ name, violations }) => ({ name, found: violations(findings) }))
  const killed = [...run.kills.values()].reduce((sum, count) => sum + count, 0)
  const hold = verdicts.every(({ found }) => found.length === 0)
  const text = [
    `# Chaos: ${run.minutes.toFixed(1)} minutes, ${findings.recoveries.length} rounds of faults, ${killed} kills`,
    '',
    `Seed ${plan.seed}; repeat the choice of faults with \`TTS_CHAOS_SEED=${plan.seed}\`.`,
    ...(cutShort === undefined ? [] : ['', `**The run ended early:** ${cutShort}`]),
    ...run.notPossible.map((line) => `\nNOT RUN: ${line}`),
    '',
    '| must be 0 | found |',
    '| --- | --- |',
    ...verdicts.map(({ name, found }) => `| ${name} | ${found.length} |`),
    '',
    ...verdicts.flatMap(({ name, found }) => violationLines(name, found)),
    ...amounts(run),
    '',
    ...recoveryTable(findings.recoveries, run.kills),
    '',
    hold ? 'All invariants held.' : '**INVARIANTS ARE VIOLATED.**',
    '',
  ].join('\n')
  return { text, isGood: hold && cutShort === undefined }
}

function violationLines(name: string, found: readonly string[]): readonly string[] {
  if (found.length === 0) return []
  const more = found.length > SHOWN ? [`- and ${found.length - SHOWN} more`] : []
  return [`${name}:`, '', ...found.slice(0, SHOWN).map((line) => `- ${line}`), ...more, '']
}

function amounts({ findings, evidence, refusedByProvider }: Run): readonly string[] {
  const byWay = new Map<string, number>()
  for (const { installation, way } of findings.grants) {
    const name = `${way} (${installation})`
    byWay.set(name, (byWay.get(name) ?? 0) + 1)
  }
  const list = (counts: ReadonlyMap<string, number>): string =>
    [...counts]
      .toSorted(([, one], [, other]) => other - one)
      .map(([name, count]) => `${name}: ${count}`)
      .join(', ')
  return [
    `Credentials received: ${findings.grants.length}. ${list(byWay)}.`,
    '',
    `Answers, and connections that broke: ${list(evidence.answers)}.`,
    '',
    `${findings.revoked.length} EECs revoked, ${findings.refusals.length} bans and suspensions, ` +
      `${findings.holders.length} holders of refresh tokens; the provider refused ${refusedByProvider} ` +
      'refresh tokens as unknown.',
  ]
}

/** Two faults at once are one round: it counts for both. */
const faultsOf = ({ fault }: Recovery): readonly string[] => fault.split(TOGETHER)

/** Time from the end of a fault to the last part of the system that served again. */
function recoveryTable(
  recoveries: readonly Recovery[],
  kills: ReadonlyMap<string, number>,
): readonly string[] {
  const names = [...new Set(recoveries.flatMap(faultsOf))].toSorted()
  const row = (name: string, of: readonly Recovery[], killed: number | undefined): string => {
    const times = of.flatMap(({ milliseconds }) => milliseconds ?? []).toSorted((a, b) => a - b)
    const seconds = (index: number): string => ((times[index] ?? 0) / 1000).toFixed(1)
    const median = seconds(Math.floor((times.length - 1) / 2))
    return `| ${name} | ${of.length} | ${killed ?? ''} | ${median} s | ${seconds(times.length - 1)} s |`
  }
  const total = [...kills.values()].reduce((sum, count) => sum + count, 0)
  return [
    '| fault | rounds | kills | recovery: median | worst |',
    '| --- | --- | --- | --- | --- |',
    ...names.map((name) =>
      row(
        name,
        recoveries.filter((recovery) => faultsOf(recovery).includes(name)),
        kills.get(name),
      ),
    ),
    row('all', recoveries, total),
    '',
    'A round with two faults is in the rows of both. Recovery is the time until every part has served again.',
  ]
}
