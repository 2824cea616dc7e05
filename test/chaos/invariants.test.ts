/** Each invariant of the chaos suite is shown a doctored record, and finds what is wrong with it. */
import { expect, test } from 'vitest'
import type { Grant } from './evidence.ts'
import { type Findings, invariants, ways } from './invariants.ts'

const END = Date.UTC(2030, 0, 1)
const name = 'CN=alice@iam,OU=TTS,O=Example'
const sound: Grant = {
  installation: 'replicas',
  way: 'CSR',
  sub: 'alice',
  begunAt: 1000,
  id: 'credential-1',
  certificates: [
    {
      serial: '0a',
      subject: `CN=10,${name}`,
      issuer: name,
      notBefore: END - 3_600_000,
      notAfter: END,
    },
    { serial: 'ee', subject: name, issuer: 'CN=CA', notBefore: 0, notAfter: END },
  ],
  lifetimeSeconds: 3600,
  keyFits: true,
}
const [proxy, endEntity] = sound.certificates as [
  Grant['certificates'][0],
  Grant['certificates'][0],
]
/** One of each kind of client. */
const others = (['replicas', 'single'] as const).flatMap((installation) =>
  ways.map((way, index): Grant => {
    const [id, serial] = [`${installation}-${way}`, `b${index}`]
    const named = { ...proxy, serial, subject: `CN=${0xb0 + index},${name}` }
    return { ...sound, installation, way, id, certificates: [named, endEntity] }
  }),
)
const ids = ['credential-1', ...others.map(({ id }) => id ?? '')]
const rows = {
  credentials: new Set(ids),
  audited: new Set(ids),
  certificates: new Set(['0a', 'ee', 'f0', ...ways.map((_, index) => `b${index}`)]),
}
/** Of another EEC. */
const earlier = (['replicas', 'single'] as const).map((installation) => ({
  installation,
  serial: 'f0',
  at: 0,
}))
const findings: Findings = {
  grants: [sound, ...others],
  acceptedBadTokens: [],
  refusals: [],
  revoked: earlier,
  records: { replicas: rows, single: rows },
  crls: { replicas: [new Set(['ee', 'f0'])], single: [new Set(['f0'])] },
  holders: [{ name: 'delegation 1', accepted: true, endedOnPurpose: false, detail: '' }],
  recoveries: [{ fault: 'a kill', milliseconds: 900, lastProblem: '' }],
  files: [{ path: 'state.key', mode: 0o600, problem: undefined }],
  secretsInLogs: [],
}

/** The names of the invariants that are violated, each once. */
const violated = (changes: Partial<Findings>): readonly string[] =>
  invariants
    .filter(({ violations }) => violations({ ...findings, ...changes }).length > 0)
    .map((invariant) => invariant.name)

const granted = (changes: Partial<Grant>): Partial<Findings> => ({
  grants: [{ ...sound, ...changes }, ...others],
})
const refusal = { installation: 'replicas', sub: 'alice', why: 'it is banned' } as const
const lacking = (part: keyof typeof rows): Partial<Findings> => ({
  records: { replicas: { ...rows, [part]: new Set() }, single: rows },
})

const cases: readonly [string, string, Partial<Findings>][] = [
  ['a credential is not on record', 'unrecorded certificates', lacking('credentials')],
  ['its audit line is missing', 'unrecorded certificates', lacking('audited')],
  ['a certificate is not on record', 'unrecorded certificates', lacking('certificates')],
  [
    'it is on record in the other installation only',
    'unrecorded certificates',
    { records: { replicas: { ...rows, certificates: new Set() }, single: rows } },
  ],
  [
    'a proxy twice',
    'serials issued twice',
    { grants: [sound, { ...sound, id: undefined }, ...others] },
  ],
  [
    'a token that the provider refuses',
    'lost refresh tokens',
    { holders: [{ name: 'd', accepted: false, endedOnPurpose: false, detail: 'refused' }] },
  ],
  ['a bad token was accepted', 'wrong grants', { acceptedBadTokens: ['expired'] }],
  ['the subject of another identity', 'wrong grants', granted({ sub: 'lice' })],
  ['no certificate at all', 'wrong grants', granted({ certificates: [] })],
  [
    'a proxy below another EEC',
    'wrong grants',
    granted({ certificates: [{ ...proxy, issuer: 'CN=bob@iam' }, endEntity] }),
  ],
  [
    'a proxy with another CN than its serial',
    'wrong grants',
    granted({ certificates: [{ ...proxy, subject: `CN=11,${name}` }, endEntity] }),
  ],
  ['a lifetime above the limit', 'wrong grants', granted({ lifetimeSeconds: 60 })],
  [
    'a proxy that ends after its EEC',
    'wrong grants',
    granted({ certificates: [proxy, { ...endEntity, notAfter: END - 1000 }] }),
  ],
  ['the key of another certificate', 'wrong grants', granted({ keyFits: false })],
  [
    'asked for after the ban was acknowledged',
    'wrong grants',
    { refusals: [{ ...refusal, from: 999, until: Infinity }] },
  ],
  [
    'asked for after the revocation of its EEC',
    'wrong grants',
    { revoked: [...earlier, { installation: 'replicas', serial: 'ee', at: 999 }] },
  ],
  [
    'a revoked serial is in one CRL and not in the other',
    'revoked serials missing from a CRL',
    {
      revoked: [...earlier, { installation: 'replicas', serial: 'ee', at: 2000 }],
      crls: { replicas: [new Set(['ee', 'f0']), new Set(['f0'])], single: [new Set(['f0'])] },
    },
  ],
  [
    'there is no CRL',
    'revoked serials missing from a CRL',
    {
      revoked: [...earlier, { installation: 'replicas', serial: 'ee', at: 2000 }],
      crls: { replicas: [], single: [] },
    },
  ],
  [
    'WaTTS clients got nothing from the single service',
    'kinds of clients that were never served',
    {
      grants: others.filter(
        ({ installation, way }) => installation === 'replicas' || way !== 'WaTTS',
      ),
    },
  ],
  ['nothing was revoked', 'kinds of clients that were never served', { revoked: [] }],
  ['nobody held a token', 'kinds of clients that were never served', { holders: [] }],
  [
    'nothing serves again',
    'faults without recovery',
    { recoveries: [{ fault: 'a kill', milliseconds: undefined, lastProblem: '503' }] },
  ],
  [
    'a file that its group can read',
    'private files that are open or not whole',
    { files: [{ path: 'key', mode: 0o640, problem: undefined }] },
  ],
  [
    'half a file',
    'private files that are open or not whole',
    { files: [{ path: 'gwms_proxy', mode: 0o600, problem: 'it ends early' }] },
  ],
  ['a secret in a log', 'secrets in logs', { secretsInLogs: ['tts.log: a token'] }],
]

test.for(cases)('%s', ([, invariant, changes]) => {
  expect(violated(changes)).toEqual([invariant])
})

test('nothing is found where nothing is wrong', () => {
  expect(violated({})).toEqual([])
  const before = { ...refusal, from: 1001, until: Infinity }
  const after = { ...refusal, from: 0, until: 999 }
  expect(violated({ refusals: [before, after] })).toEqual([])
  expect(
    violated({ revoked: [...earlier, { installation: 'replicas', serial: 'ee', at: 1001 }] }),
  ).toEqual([])
  const ended = { name: 'd', accepted: false, endedOnPurpose: true, detail: 'revoked' }
  expect(violated({ holders: [ended] })).toEqual([])
})

test('each invariant has a case', () => {
  expect(new Set(cases.map(([, invariant]) => invariant))).toEqual(
    new Set(invariants.map((invariant) => invariant.name)),
  )
})
