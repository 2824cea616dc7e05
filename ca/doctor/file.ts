/** Rules on the file: order, labels, permissions. Rules on its lines are in `file-lines.ts`. */
import { type DoctorContext, type DoctorRule, nameOf, when } from './context.ts'
import { except, globus, openssl, relyingParties, type RelyingParty } from './relying-parties.ts'

const order = 'Write the file in the order proxy, private key, EEC, CAs.'
const permissions = 'Run chmod 600 on the file. `tts proxy init` creates it with that mode.'

/** XRootD's default depth of verification over https. */
const MAX_DEPTH = 9

const modeText = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0')

/** Globus refuses all but read and write by the owner, caNl-C and arcproxy less, and VOMS Java wants 0600 exactly. */
function partiesAgainstMode(mode: number): readonly RelyingParty[] {
  return [
    ...((mode & 0o177) === 0 ? [] : globus),
    ...((mode & 0o066) === 0 ? [] : ['caNl-C' as const]),
    ...((mode & 0o007) === 0 ? [] : ['arcproxy' as const]),
    ...(mode === 0o600 ? [] : ['VOMS Java' as const]),
  ]
}

function onDisk(
  { fileFacts }: DoctorContext,
  check: (facts: NonNullable<DoctorContext['fileFacts']>) => string | undefined,
): readonly string[] {
  const sentence = fileFacts && check(fileFacts)
  return sentence === undefined ? [] : [sentence]
}

export const fileRules: readonly DoctorRule[] = [
  {
    id: 'file-proxy-not-first',
    severity: 'refuses',
    relyingParties: [...openssl, 'Globus', 'MyProxy', 'VOMS', 'arcproxy'],
    check: ({ links, leaf }) =>
      when(links[0] !== leaf, `The first certificate of the file is not ${nameOf(leaf)}.`),
    remedy: order,
  },
  {
    id: 'file-key-not-second',
    severity: 'refuses',
    relyingParties: ['MyProxy'],
    check: ({ proxyFile: { labels, privateKey } }) =>
      when(
        privateKey !== undefined && !labels[1]?.endsWith('PRIVATE KEY'),
        'The private key is not the second block of the file: myproxy-logon -a fails.',
      ),
    remedy: order,
  },
  {
    id: 'file-ca-before-end-entity',
    severity: 'refuses',
    relyingParties: ['ARC server'],
    check: ({ links, proxies, endEntity }) =>
      when(
        endEntity !== undefined &&
          links
            .slice(0, links.indexOf(endEntity))
            .some((link) => link.facts.authority && !proxies.includes(link)),
        'A CA certificate comes before the EEC in the file.',
      ),
    remedy: order,
  },
  {
    id: 'file-unrelated-certificate',
    severity: 'refuses',
    relyingParties: ['XRootD'],
    check: ({ links, chain }) => {
      const unused = links.filter(
        ({ certificate }, index) =>
          !chain.some((link) => link.certificate.der.equals(certificate.der)) ||
          links.findIndex((link) => link.certificate.der.equals(certificate.der)) !== index,
      )
      const [first] = unused
      return first === undefined
        ? []
        : [`The file has certificates that its chain does not need, for instance ${nameOf(first)}.`]
    },
    remedy: order,
  },
  {
    id: 'file-chain-too-deep',
    severity: 'refuses',
    relyingParties: ['XRootD https'],
    check: ({ chain }) => {
      const between = chain.length - 2
      return when(
        between > MAX_DEPTH,
        `The chain has ${between} certificates between the leaf and the root; XRootD accepts ${MAX_DEPTH}.`,
      )
    },
    remedy: 'Delegate fewer times, or start from a new proxy.',
  },
  {
    id: 'file-ec-key-label',
    severity: 'refuses',
    relyingParties: globus,
    check: ({ proxyFile: { labels } }) =>
      when(labels.includes('EC PRIVATE KEY'), 'Globus does not read "EC PRIVATE KEY".'),
    remedy: 'Write the key as PKCS#8: openssl pkcs8 -topk8 -nocrypt.',
  },
  {
    id: 'file-key-pkcs8',
    // Debian's JGlobus, and dCache, read both forms.
    severity: 'warns',
    relyingParties: ['JGlobus'],
    check: ({ proxyFile: { labels, privateKey } }) =>
      when(
        privateKey?.asymmetricKeyType === 'rsa' && labels.includes('PRIVATE KEY'),
        'The RSA key is in PKCS#8, and JGlobus 2.1.0 finds keys in PKCS#1 only.',
      ),
    remedy: 'Write the key as PKCS#1: openssl rsa -traditional.',
  },
  {
    id: 'file-no-proxy',
    severity: 'refuses',
    relyingParties: ['XRootD', 'VOMS'],
    check: ({ proxies }) =>
      when(
        proxies.length === 0,
        'The file contains no proxy: XRootD over root:// needs a proxy and its EEC.',
      ),
    remedy: 'Request a proxy.',
  },
  {
    id: 'file-mode-not-private',
    severity: 'refuses',
    relyingParties: [...globus, 'VOMS Java', 'caNl-C', 'arcproxy'],
    check: ({ fileFacts }) => {
      const parties = fileFacts ? partiesAgainstMode(fileFacts.mode & 0o777) : []
      return fileFacts === undefined || parties.length === 0
        ? []
        : [
            {
              sentence: `The file has mode ${modeText(fileFacts.mode)}; only mode 0600 suits all.`,
              relyingParties: parties,
            },
          ]
    },
    remedy: permissions,
  },
  {
    id: 'file-owner',
    severity: 'refuses',
    relyingParties: except(relyingParties, 'VOMS'),
    check: (context) =>
      onDisk(context, ({ ownerUid, uid }) =>
        ownerUid === uid
          ? undefined
          : `The file is owned by user ${ownerUid} but is read by user ${uid}.`,
      ),
    remedy: 'Copy the file so that its reader owns it.',
  },
]
