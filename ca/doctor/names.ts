/** Rules on the name of the user: software writes the same name as different strings. */
import { attributeTypes, type DistinguishedName } from '../name.ts'
import { formatSlashDn } from '../name-text.ts'
import { type DoctorContext, type DoctorRule, endEntityOf, type Problem, when } from './context.ts'
import { globus, java, type RelyingParty } from './relying-parties.ts'

/** Returns all text values of the EEC's name in one string. */
function personText(context: DoctorContext): string {
  const values = endEntityOf(context).flatMap(({ certificate }) => certificate.subject.flat())
  return values.map(({ value }) => (typeof value === 'string' ? value : '\ufffd')).join('\n')
}

function hasType(context: DoctorContext, names: readonly string[]): boolean {
  const types = names.map((name) => attributeTypes[name])
  return endEntityOf(context).some(({ certificate }) =>
    certificate.subject.flat().some(({ type }) => types.includes(type)),
  )
}

const otherName =
  'Have the EEC issued under a name of letters, digits, spaces and , . - @ : = _ only.'

/** A rule on characters in the person's name. */
function characters(
  id: string,
  parties: readonly RelyingParty[],
  rule: { readonly pattern: RegExp; readonly sentence: string; readonly severity?: 'refuses' },
): DoctorRule {
  return {
    id,
    severity: rule.severity ?? 'warns',
    relyingParties: parties,
    check: (context) => when(rule.pattern.test(personText(context)), rule.sentence),
    remedy: otherName,
  }
}

/** The name as OpenSSL 3 prints it; `formatSlashDn` doubles backslashes. */
const opensslForm = (name: DistinguishedName): string =>
  formatSlashDn(name).replaceAll('\\\\', '\\')

/** XRootD prints values as they are. */
const plainForm = (name: DistinguishedName): string =>
  opensslForm(name).replaceAll(/\\([/+])/g, '$1')

/** In a grid map of Globus and in a map file of HTCondor, backslashes and double quotes need a backslash. */
const globusForm = (name: DistinguishedName): string =>
  opensslForm(name).replaceAll(/[\\"]/g, '\\$&')

/** Says how to write a name in a map file of HTCondor, where it differs from the slash-DN. */
function sayMapFileForm(name: DistinguishedName): readonly string[] {
  const values = name.flat().map(({ value }) => String(value))
  return when(
    values.some((value) => /[/+"\\]/.test(value)),
    `In a map file of HTCondor with OpenSSL 3, the name must be written "${globusForm(name)}"; older versions of OpenSSL add no backslash before / and +.`,
  )
}

/** Says how to write a name in a grid map where it is not simply the slash-DN. */
function sayForms(name: DistinguishedName): readonly Problem[] {
  const values = name.flat().map(({ value }) => String(value))
  const found = (pattern: RegExp): boolean => values.some((value) => pattern.test(value))
  const say = (party: RelyingParty, form: string): Problem => ({
    sentence: `In a grid map of ${party}, the name must be written "${form}".`,
    relyingParties: [party],
  })
  return [
    ...(found(/[/+"]/) ? [say('GridFTP', globusForm(name))] : []),
    ...(found(/[/+\\]/) && !found(/"/) ? [say('XRootD', plainForm(name))] : []),
  ]
}

export const nameRules: readonly DoctorRule[] = [
  {
    id: 'name-slash-plus-backslash',
    severity: 'refuses',
    relyingParties: ['GridFTP', 'XRootD'],
    check: (context) =>
      endEntityOf(context).flatMap(({ certificate }) => sayForms(certificate.subject)),
    remedy: `Write the name in that form. ${otherName.replace('Have', 'Otherwise have')}`,
  },
  {
    id: 'name-map-file',
    severity: 'warns',
    relyingParties: ['HTCondor'],
    check: (context) =>
      endEntityOf(context).flatMap(({ certificate }) => sayMapFileForm(certificate.subject)),
    remedy:
      'Write the name in that form, and set CERTIFICATE_MAPFILE_ASSUME_HASH_KEYS. Otherwise the name is a regular expression.',
  },
  characters('name-quote', ['XRootD'], {
    pattern: /"/,
    sentence: 'The name contains a double quote: no form of it matches in a grid map of XRootD.',
    severity: 'refuses',
  }),
  characters('name-not-ascii', ['XRootD'], {
    pattern: /[^\x20-\x7e\n]/u,
    sentence:
      'The name contains characters other than printable ASCII: XRootD turns them into unprintable bytes, others write \\xC3\\xA9.',
    severity: 'refuses',
  }),
  {
    id: 'name-two-in-one',
    severity: 'refuses',
    relyingParties: ['XRootD'],
    check: (context) =>
      when(
        endEntityOf(context).some(({ certificate }) =>
          certificate.subject.some((rdn) => rdn.length > 1),
        ),
        'The name has two attributes in one part: XRootD writes them as two parts.',
      ),
    remedy: otherName,
  },
  characters('name-parentheses', ['MyProxy', 'HTCondor'], {
    pattern: /[()]/,
    sentence:
      'The name contains a parenthesis: MyProxy and HTCondor map names by regular expressions, where it has a special meaning.',
  }),
  {
    id: 'name-email-or-serial-number',
    severity: 'warns',
    relyingParties: java,
    check: (context) =>
      when(
        hasType(context, ['emailAddress', 'serialNumber']),
        'The name contains an emailAddress or serialNumber: Java writes EMAILADDRESS and SERIALNUMBER.',
      ),
    remedy: otherName,
  },
  {
    id: 'name-uid',
    severity: 'warns',
    relyingParties: [...globus, 'VOMS'],
    check: (context) =>
      when(
        hasType(context, ['UID']),
        'The name contains a UID: Globus and VOMS write USERID in grid maps.',
      ),
    remedy: otherName,
  },
  {
    id: 'name-long-common-name',
    severity: 'warns',
    relyingParties: ['OpenSSL'],
    check: (context) =>
      when(
        endEntityOf(context).some(({ certificate }) =>
          certificate.subject
            .flat()
            .some(({ type, value }) => type === attributeTypes['CN'] && value.length > 64),
        ),
        'A CN is longer than 64 characters (RFC 5280, ub-common-name): OpenSSL does not create such names.',
      ),
    remedy: 'Have the EEC issued under a shorter name.',
  },
]
