/** Relying parties that are a command which reads the proxy file. */
import { join } from 'node:path'
import { runTool } from '../grid-tools.ts'
import { partyOfOne, type PatientFiles, type Refusal } from './party.ts'

const environment = ({ proxyPath, trustAnchorDir }: PatientFiles): Record<string, string> => ({
  X509_USER_PROXY: proxyPath,
  X509_CERT_DIR: trustAnchorDir,
})

/** Tools differ in whether they escape a backslash. */
const isPerson = (name: string, { identity }: PatientFiles): boolean =>
  name.replaceAll('\\', '') === identity.replaceAll('\\', '')

/**
 * grid-proxy-init derives a proxy from the proxy, as delegation does, and verifies it; grid-proxy-info must find the
 * right person.
 */
async function checkGlobus(patient: PatientFiles): Promise<Refusal> {
  const { proxyPath, directory } = patient
  const out = join(directory, 'globus-derived')
  const files = ['-cert', proxyPath, '-key', proxyPath, '-out', out]
  const run = await runTool(
    'grid-proxy-init',
    [...files, '-valid', '0:30', '-bits', '1024', '-verify'],
    {
      X509_CERT_DIR: patient.trustAnchorDir,
    },
  )
  if (run.status !== 0) return run.output
  const file = ['-file', proxyPath]
  const info = await runTool('grid-proxy-info', file, environment(patient))
  const [, identity = ''] = /^identity : (.*)$/m.exec(info.output) ?? []
  return info.status === 0 && isPerson(identity, patient) ? undefined : info.output
}

/** voms-proxy-info must find a valid proxy and the right person. */
async function checkVoms(patient: PatientFiles): Promise<Refusal> {
  const file = ['-file', patient.proxyPath]
  const exists = await runTool('voms-proxy-info2', [...file, '-exists'], environment(patient))
  if (exists.status !== 0) return exists.output || 'voms-proxy-info -exists says no'
  const { output } = await runTool('voms-proxy-info2', [...file, '-identity'], environment(patient))
  // Of a proxy of a proxy it prints the proxy in between.
  const identity = output.replace(/\n$/, '')
  const isBetween = identity.startsWith(`${patient.identity}/CN=`)
  return isBetween || isPerson(identity, patient) ? undefined : output
}

/** arcproxy must find a valid proxy and the right person, and derive a proxy from it. */
async function checkArcproxy(patient: PatientFiles): Promise<Refusal> {
  const { proxyPath, trustAnchorDir, directory } = patient
  const trust = ['-T', trustAnchorDir]
  const info = await runTool('arcproxy', ['-I', '-P', proxyPath, ...trust], environment(patient))
  if (info.status !== 0) return info.output
  const [, identity = ''] = /^Identity: (.*)$/m.exec(info.output) ?? []
  if (!isPerson(identity, patient)) return info.output
  if (/Time left for proxy: Proxy (expired|not valid)/.test(info.output)) return info.output
  const out = join(directory, 'arc-derived')
  const files = ['-C', proxyPath, '-K', proxyPath, '-P', out]
  const derived = await runTool(
    'arcproxy',
    [...files, ...trust, '-c', 'validityPeriod=1800', '-c', 'keybits=1024'],
    {
      X509_CERT_DIR: trustAnchorDir,
    },
  )
  return derived.status === 0 ? undefined : derived.output
}

export const globusParty = partyOfOne('Globus', ['globus-proxy-utils'], checkGlobus)
export const vomsParty = partyOfOne('VOMS', ['voms-clients'], checkVoms)
export const arcproxyParty = partyOfOne('arcproxy', ['nordugrid-arc-client'], checkArcproxy)
