import { afterEach, expect, test } from 'vitest'
import { proxyCertInfo, type ProxyType } from '../../ca/extensions.ts'
import { withCommonName } from '../../ca/name.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy, formatProxyInfo } from '../../ca/proxy-info.ts'
import { baseName, type ChainPlan, userName } from '../support/certificate-builder.ts'
import { type CredentialDirectory, openPlannedCredential } from '../support/credential-directory.ts'
import { proxyCertInfoOf } from '../support/extensions.ts'
import { gridProxyInfo } from '../support/grid-checks.ts'
import { describeWithTools } from '../support/grid-tools.ts'

const expired: ChainPlan = { proxies: [{ begins: -3600, ends: -1800 }] }
const withType = (type: ProxyType): ChainPlan => ({
  proxies: [{ extensions: { proxyCertInfo: proxyCertInfo(type, undefined) } }],
})
const legacy = (name: string): ChainPlan => ({
  proxies: [{ subject: withCommonName(userName, name), extensions: { proxyCertInfo: undefined } }],
})
const printed: readonly { readonly name: string; readonly plan: ChainPlan }[] = [
  { name: 'an impersonation proxy', plan: {} },
  { name: 'a limited proxy', plan: withType('limited') },
  { name: 'an independent proxy', plan: withType('independent') },
  { name: 'a proxy of a proxy', plan: { proxies: [{}, {}] } },
  {
    name: 'a proxy of an independent one',
    plan: { proxies: [...(withType('independent').proxies ?? []), {}] },
  },
  {
    name: 'a restricted proxy',
    plan: {
      proxies: [
        { extensions: { proxyCertInfo: proxyCertInfoOf({ language: '1.3.6.1.5.5.7.21.0' }) } },
      ],
    },
  },
  { name: 'a legacy proxy', plan: legacy('proxy') },
  { name: 'a limited legacy proxy', plan: legacy('limited proxy') },
  { name: 'an EEC alone', plan: { proxies: [] } },
  { name: 'a proxy with its last minutes', plan: { proxies: [{ ends: 130 }] } },
  { name: 'a proxy that has ended', plan: expired },
  { name: 'a proxy whose EEC ends first', plan: { endEntity: { ends: 7200 } } },
  { name: 'a key of 3072 bits', plan: { proxies: [{ key: 'rsa-3072' }] } },
  {
    name: 'a name with slash, plus, quote and e-acute',
    plan: { endEntity: { subject: withCommonName(baseName, 'a/b+c "q" \u00e9') } },
  },
]

let opened: CredentialDirectory | undefined
afterEach(() => opened?.close())

describeWithTools('grid-proxy-info beside our own', ['globus-proxy-utils'], () => {
  test.for(printed)('prints $name alike', async ({ plan }) => {
    const credential = await openPlannedCredential(plan)
    opened = credential
    const now = new Date()
    const facts = describeProxy(parseProxyFile(credential.text), {
      now,
      path: credential.proxyPath,
    })
    const { output } = await gridProxyInfo(credential)
    // A second may pass between the two, or the tool's start take some.
    const later = (seconds: number): string =>
      formatProxyInfo({ ...facts, timeLeftSeconds: Math.max(0, facts.timeLeftSeconds - seconds) })
    expect([0, 1, 2, 3].map(later)).toContain(output)
  })
})
