/** Rules on the file: order, labels, permissions. */
import { type DoctorContext, type DoctorRule, nameOf, when } from './context.ts'
import { globus, openssl, relyingParties } from './relying-parties.ts'

const order = 'Write the file in the order proxy, private key, EEC, CAs.'
const permissions = 'Run chmod 600 on the file. `tts proxy init` creates it with that mode.'

const modeText = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0')

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
    relyingParties: [...openssl, 'Globus'],
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
    id: 'file-ec-key-label',
    severity: 'refuses',
    relyingParties: globus,
    check: ({ proxyFile: { labels } }) =>
      when(labels.includes('EC PRIVATE KEY'), 'Globus does not read "EC PRIVATE KEY".'),
    remedy: 'Write the key as PKCS#8: openssl pkcs8 -topk8 -nocrypt.',
  },
  {
    id: 'file-no-proxy',
    severity: 'refuses',
    relyingParties: ['XRootD'],
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
    relyingParties: globus,
    check: (context) =>
      onDisk(context, ({ mode }) =>
        (mode & 0o077) === 0
          ? undefined
          : `The file has mode ${modeText(mode)}: Globus refuses any permission for group or others.`,
      ),
    remedy: permissions,
  },
  {
    id: 'file-mode-for-others',
    severity: 'refuses',
    relyingParties: ['arcproxy'],
    check: (context) =>
      onDisk(context, ({ mode }) =>
        (mode & 0o007) === 0
          ? undefined
          : `The file has mode ${modeText(mode)}: others can use it.`,
      ),
    remedy: permissions,
  },
  {
    id: 'file-owner',
    severity: 'refuses',
    relyingParties,
    check: (context) =>
      onDisk(context, ({ ownerUid, uid }) =>
        ownerUid === uid
          ? undefined
          : `The file is owned by user ${ownerUid} but is read by user ${uid}.`,
      ),
    remedy: 'Copy the file so that its reader owns it.',
  },
]
