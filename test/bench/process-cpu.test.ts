import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import {
  endedChildrenCpuSeconds,
  parseStat,
  processTree,
  usageOf,
} from '../../bench/process-cpu.ts'

const stat = (name: string): string =>
  `4242 (${name}) S 17 4242 4242 0 -1 4194560 3900 500 0 0 150 50 20 5 20 0 11 0 123456 1000000 5000`

test.for(['node', 'a b', 'x) R 99 1', '()'])('reads the line of a program named %j', (name) => {
  expect(parseStat(stat(name))).toEqual({ parent: 17, cpuSeconds: 2.25 })
})

test('finds all descendants and nobody else', () => {
  const of = (parent: number) => ({ parent, cpuSeconds: 1 })
  const all = new Map([1, 2, 3, 4, 5].map((pid, index) => [pid, of([0, 1, 2, 0, 4][index] ?? 0)]))
  expect(processTree(1, all).map(([pid]) => pid)).toEqual([1, 2, 3])
  expect(processTree(9, all)).toEqual([])
})

test('counts only children that have ended', () => {
  const burn = 'const end = Date.now() + 300; while (Date.now() < end);'
  const before = endedChildrenCpuSeconds()
  expect(endedChildrenCpuSeconds()).toBe(before)
  execFileSync(process.execPath, ['-e', burn])
  expect(endedChildrenCpuSeconds() - before).toBeGreaterThan(0.05)
})

test('counts children that work and children that have ended', async () => {
  const burn = 'const end = Date.now() + 300; while (Date.now() < end);'
  const parent = `require('node:child_process').execFileSync(process.execPath, ['-e', ${JSON.stringify(burn)}]); console.log('done'); setInterval(() => {}, 1e6)`
  const child = spawn(process.execPath, ['-e', parent], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await once(child.stdout, 'data')
    const usage = usageOf(child.pid ?? 0)
    // On a busy machine the child gets less than the time it waits.
    expect(usage.cpuSeconds).toBeGreaterThan(0.05)
    expect(usage.rssBytes).toBeGreaterThan(10e6)
    expect(usage.processes).toBe(1)
  } finally {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
})

test('is zero for a process that is not there', () => {
  expect(usageOf(2 ** 22 + 1)).toEqual({ cpuSeconds: 0, rssBytes: 0, processes: 0 })
})
