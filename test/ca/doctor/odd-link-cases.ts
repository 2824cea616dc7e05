/** Chains in which a certificate names another issuer than the one that signed it, or a CA limits names. */
import {
  type Asn1Node,
  characterString,
  explicit,
  implicitConstructed,
  implicitPrimitive,
  sequence,
  Tag,
} from '../../../ca/asn1.ts'
import { authorityKeyIdentifier, subjectKeyIdentifier } from '../../../ca/extensions.ts'
import { type DistinguishedName, nameNode, withCommonName } from '../../../ca/name.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import { authorityName, baseName, type Plan } from '../../support/certificate-builder.ts'
import { anyExtension } from '../../support/extensions.ts'
import type { OddCase } from './odd-files.ts'

const otherKey = authorityKeyIdentifier(Buffer.alloc(20, 7))

/** authorityKeyIdentifier by issuer and serial number (RFC 5280 section 4.2.1.1). */
const byIssuer = (issuer: DistinguishedName, serial: Buffer): Asn1Node =>
  anyExtension(
    '2.5.29.35',
    sequence(implicitConstructed(1, [explicit(4, nameNode(issuer))]), implicitPrimitive(2, serial)),
  )

const rootSerial = Buffer.from([0x40, ...Buffer.from('author')])
const identifier = (...parts: readonly Asn1Node[]): Asn1Node =>
  anyExtension('2.5.29.35', sequence(...parts))

const otherName = withCommonName(baseName, 'Other CA')

const named = (node: Asn1Node): Plan => ({
  extensions: { authorityKeyIdentifier: node },
})

/** nameConstraints with one subtree (RFC 5280 section 4.2.1.10). */
const constraints = (kind: 'permitted' | 'excluded', subtree: Asn1Node): Plan => ({
  extensions: {
    nameConstraints: anyExtension(
      '2.5.29.30',
      sequence(implicitConstructed(kind === 'permitted' ? 0 : 1, [sequence(subtree)])),
    ),
  },
})
const directory = (dn: string): Asn1Node => explicit(4, nameNode(parseSlashDn(dn)))
const ours = directory('/C=EU/O=indigo')
const foreign = directory('/C=EU/O=Other')
const dns = implicitPrimitive(2, Buffer.from('example.org'))
const email = implicitPrimitive(1, Buffer.from('example.org'))

const emailAddress = (address: string): Asn1Node =>
  anyExtension('2.5.29.17', sequence(implicitPrimitive(1, Buffer.from(address))))

export const linkCases: readonly OddCase[] = [
  {
    name: 'EEC names another key',
    plan: { endEntity: named(otherKey) },
    rules: ['key-identifier-mismatch'],
  },
  {
    name: 'EEC names the right issuer and serial number',
    plan: { endEntity: named(byIssuer(authorityName, rootSerial)) },
    rules: [],
  },
  {
    name: 'EEC names another serial number',
    plan: { endEntity: named(byIssuer(authorityName, Buffer.from([9]))) },
    rules: ['key-identifier-mismatch'],
  },
  {
    name: 'EEC names another issuer',
    plan: { endEntity: named(byIssuer(otherName, rootSerial)) },
    rules: ['key-identifier-mismatch'],
  },
  {
    name: 'EEC with a key identifier that is a list',
    plan: { endEntity: named(identifier(implicitConstructed(0, []))) },
    rules: ['key-identifier-unreadable'],
  },
  {
    name: 'EEC with a serial number that is a list',
    plan: {
      endEntity: named(
        identifier(
          implicitConstructed(1, [explicit(4, nameNode(authorityName))]),
          implicitConstructed(2, []),
        ),
      ),
    },
    rules: ['key-identifier-unreadable'],
  },
  {
    name: 'EEC with an issuer that is no name',
    plan: {
      endEntity: named(
        identifier(
          implicitConstructed(1, [explicit(4, characterString(Tag.utf8String, Buffer.from('x')))]),
          implicitPrimitive(2, rootSerial),
        ),
      ),
    },
    rules: ['key-identifier-unreadable'],
  },
  {
    name: 'proxy with a key identifier that is a list',
    plan: { proxies: [named(identifier(implicitConstructed(0, [])))] },
    rules: ['key-identifier-unreadable'],
  },
  {
    name: 'intermediate with a key identifier that is a list',
    plan: { intermediate: named(identifier(implicitConstructed(0, []))) },
    rules: ['key-identifier-unreadable'],
  },
  {
    name: 'root with a key identifier that is a list',
    plan: { authority: named(identifier(implicitConstructed(0, []))) },
    rules: ['key-identifier-unreadable'],
  },
  {
    name: 'proxy names another key',
    plan: { proxies: [{ extensions: { authorityKeyIdentifier: otherKey } }] },
    rules: ['key-identifier-mismatch'],
  },
  {
    name: 'proxy names another serial number',
    plan: {
      proxies: [
        { extensions: { authorityKeyIdentifier: byIssuer(authorityName, Buffer.from([9])) } },
      ],
    },
    rules: ['key-identifier-mismatch'],
  },
  {
    name: 'second proxy names another key',
    plan: {
      proxies: [
        { extensions: { subjectKeyIdentifier: subjectKeyIdentifier(Buffer.alloc(20, 3)) } },
        {},
      ],
    },
    rules: ['key-identifier-mismatch'],
  },
  {
    name: 'intermediate names another key',
    plan: { intermediate: { extensions: { authorityKeyIdentifier: otherKey } } },
    rules: ['key-identifier-mismatch'],
  },
  {
    name: 'EEC below an intermediate names another key',
    plan: { intermediate: {}, endEntity: named(otherKey) },
    rules: ['key-identifier-mismatch'],
  },
  {
    name: 'root names another key',
    plan: { authority: { extensions: { authorityKeyIdentifier: otherKey } } },
    rules: ['key-identifier-mismatch'],
  },
  { name: 'root permits the name', plan: { authority: constraints('permitted', ours) }, rules: [] },
  {
    name: 'root permits other names',
    plan: { authority: constraints('permitted', foreign) },
    rules: ['name-constraints'],
  },
  {
    name: 'root excludes the name',
    plan: { authority: constraints('excluded', ours) },
    rules: ['name-constraints'],
  },
  {
    name: 'root excludes other names',
    plan: { authority: constraints('excluded', foreign) },
    rules: [],
  },
  {
    name: 'intermediate permits other names',
    plan: { intermediate: constraints('permitted', foreign) },
    rules: ['name-constraints'],
  },
  {
    name: 'intermediate excludes the name',
    plan: { intermediate: constraints('excluded', ours) },
    rules: ['name-constraints'],
  },
  {
    name: 'intermediate permits the name',
    plan: { intermediate: constraints('permitted', ours) },
    rules: [],
  },
  {
    name: 'root permits DNS names',
    plan: { authority: constraints('permitted', dns) },
    rules: [],
  },
  {
    name: 'root permits addresses',
    plan: { authority: constraints('permitted', email) },
    rules: [],
  },
  {
    name: 'intermediate permits addresses',
    plan: { intermediate: constraints('permitted', email) },
    rules: [],
  },
  {
    name: 'root permits addresses, and the EEC has one',
    plan: {
      authority: constraints('permitted', email),
      endEntity: { extensions: { address: emailAddress('jane@example.org') } },
    },
    rules: ['name-constraints-not-judged'],
  },
  {
    name: 'root permits DNS names, and the CN of the EEC is one',
    plan: {
      authority: constraints('permitted', dns),
      endEntity: { subject: withCommonName(baseName, 'host.example.org') },
    },
    rules: ['name-constraints-not-judged'],
  },
  {
    name: 'root permits addresses, and the name of the EEC has one',
    plan: {
      authority: constraints('permitted', email),
      endEntity: {
        subject: parseSlashDn('/C=EU/O=INDIGO/OU=TTS/CN=Jane/emailAddress=jane@example.org'),
      },
    },
    rules: ['name-constraints-not-judged', 'name-email-or-serial-number'],
  },
  {
    name: 'root with nameConstraints that cannot be read',
    plan: {
      authority: {
        extensions: {
          nameConstraints: anyExtension(
            '2.5.29.30',
            characterString(Tag.utf8String, Buffer.from('x')),
          ),
        },
      },
    },
    rules: ['name-constraints'],
  },
]
