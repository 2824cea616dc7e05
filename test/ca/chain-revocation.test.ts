import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type ChainVerdict, validateChain } from '../../ca/chain.ts'
import { createCrl, type CrlEntry, readCrl } from '../../ca/crl.ts'
import { keyUsage } from '../../ca/extensions.ts'
import {
  asAuthority,
  buildChain,
  type BuiltChain,
  type ChainPlan,
  NOW,
} from '../support/certificate-builder.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { opensslRefusal } from '../support/openssl.ts'

const found = (verdict: ChainVerdict): string[] =>
  verdict.problems.map(({ certificateIndex, code }) => `${certificateIndex} ${code}`)

describe('CRLs', () => {
  const entry = (serial: string): CrlEntry => ({ serial, revokedAt: NOW, reason: 'keyCompromise' })
  const hour = 3_600_000
  const at = (milliseconds: number): Date => new Date(NOW.getTime() + milliseconds)
  const good = { number: 1, thisUpdate: at(-hour), nextUpdate: at(hour), entries: [] }

  interface CrlCase {
    readonly name: string
    readonly plan?: ChainPlan
    readonly make: (chain: BuiltChain) => Promise<readonly Buffer[]>
    readonly problems: readonly string[]
  }
  const root = async (chain: BuiltChain, change: Partial<Parameters<typeof createCrl>[1]> = {}) =>
    createCrl(asAuthority(chain.authority), { ...good, ...change })
  const middle = async (chain: BuiltChain, entries: readonly CrlEntry[] = []) => {
    if (!chain.intermediate) throw new Error('no intermediate')
    return createCrl(asAuthority(chain.intermediate), { ...good, entries })
  }
  const noCrlSign = { extensions: { keyUsage: keyUsage(['keyCertSign']) } }
  const crlCases: readonly CrlCase[] = [
    { name: 'nothing is revoked', make: async (chain) => [await root(chain)], problems: [] },
    {
      name: 'the EEC is revoked',
      make: async (chain) => [
        await root(chain, { entries: [entry(chain.endEntity.certificate.serial)] }),
      ],
      problems: ['1 revoked'],
    },
    {
      name: 'another one is revoked',
      make: async (chain) => [await root(chain, { entries: [entry('41')] })],
      problems: [],
    },
    {
      name: 'a proxy is in no CRL',
      make: async (chain) => [
        await root(chain, { entries: [entry(chain.certificates[0]?.serial ?? '')] }),
      ],
      problems: [],
    },
    { name: 'no CRL', make: async () => [], problems: ['1 crl_missing', '2 crl_missing'] },
    {
      name: 'ended',
      make: async (chain) => [await root(chain, { nextUpdate: at(-1000) })],
      problems: ['1 crl_expired', '2 crl_expired'],
    },
    {
      name: 'not begun',
      make: async (chain) => [await root(chain, { thisUpdate: at(60_000) })],
      problems: ['1 crl_not_yet_valid', '2 crl_not_yet_valid'],
    },
    {
      name: 'signed by another key',
      make: async (chain) => [
        await createCrl(
          { ...asAuthority(chain.authority), signer: asAuthority(chain.endEntity).signer },
          good,
        ),
      ],
      problems: ['1 crl_bad_signature', '2 crl_bad_signature'],
    },
    {
      name: 'CA without cRLSign',
      plan: { authority: noCrlSign },
      make: async (chain) => [await root(chain)],
      problems: ['1 crl_issuer_key_usage', '2 crl_issuer_key_usage'],
    },
    {
      name: 'the intermediate is revoked',
      plan: { intermediate: {} },
      make: async (chain) => [
        await middle(chain),
        await root(chain, { entries: [entry(chain.intermediate?.certificate.serial ?? '')] }),
      ],
      problems: ['2 revoked'],
    },
    {
      name: "the intermediate's CRL is missing",
      plan: { intermediate: {} },
      make: async (chain) => [await root(chain)],
      problems: ['1 crl_missing'],
    },
    {
      name: 'both CRLs of an intermediate',
      plan: { intermediate: {} },
      make: async (chain) => [await middle(chain), await root(chain)],
      problems: [],
    },
  ]
  test.for(crlCases)('$name', async ({ plan, make, problems }) => {
    const chain = await buildChain(plan)
    const ders = await make(chain)
    const { certificates, anchors } = chain
    const crls = ders.map(readCrl)
    const verdict = validateChain({ certificates, anchors, crls, now: NOW, allowProxies: true })
    expect(found(verdict)).toEqual(problems)
  })

  describeWithTools('openssl verify -crl_check_all beside it', ['openssl'], () => {
    test.for(crlCases)('$name', async ({ plan, make, problems }) => {
      const chain = await buildChain(plan)
      const crls = await make(chain)
      const { certificates, anchors } = chain
      const [leaf, ...untrusted] = certificates
      if (leaf === undefined) throw new Error('empty chain')
      const refusal = await opensslRefusal({ leaf, untrusted, anchors, crls, now: NOW })
      expect(refusal === undefined, refusal).toBe(problems.length === 0)
    })
  })

  test('the newest CRL of an issuer counts, unless its signature is false', async () => {
    const chain = await buildChain()
    const { certificates, anchors } = chain
    const serial = chain.endEntity.certificate.serial
    const older = await root(chain)
    const newer = await root(chain, { thisUpdate: at(-1000), entries: [entry(serial)] })
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const forged = await createCrl(
      {
        ...asAuthority(chain.authority),
        signer: asAuthority({ ...chain.authority, privateKey }).signer,
      },
      good,
    )
    const judgeWith = (ders: readonly Buffer[]): string[] =>
      found(
        validateChain({
          certificates,
          anchors,
          crls: ders.map(readCrl),
          now: NOW,
          allowProxies: true,
        }),
      )
    expect(judgeWith([older, newer])).toEqual(['1 revoked'])
    expect(judgeWith([newer, older])).toEqual(['1 revoked'])
    expect(judgeWith([newer, forged])).toEqual(['1 revoked'])
  })
})
