/** Describes the machine, because no figure means anything without it. */
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  /** AVX-512 IFMA: OpenSSL then signs with RSA three to four times faster. */
  readonly hasIfma: boolean
  readonly node: string
  readonly openssl: string
  readonly kernel: string
}

export function describeMachine(): Machine {
  const cpuInfo = readFileSync('/proc/cpuinfo', 'utf8')
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    hasIfma: /^flags\s*:.*\bavx512ifma\b/m.test(cpuInfo),
    node: process.version,
    openssl: process.versions.openssl,
    kernel: release(),
  }
}

export function machineText(machine: Machine): string {
  const { cpu, cores, memoryGib, hasIfma, node, openssl, kernel } = machine
  const ifma = hasIfma ? 'with AVX-512 IFMA' : 'without AVX-512 IFMA'
  return `${cpu}, ${cores} cores, ${ifma}, ${memoryGib} GiB; Node ${node}, OpenSSL ${openssl}, Linux ${kernel}`
}
