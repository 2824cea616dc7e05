/** The VOMS extension of a proxy: one attribute certificate of the form that VOMS servers issue, not signed by one. */
import {
  type Asn1Node,
  bitString,
  characterString,
  explicit,
  implicitConstructed,
  implicitPrimitive,
  nullValue,
  octetString,
  oid,
  sequence,
  set,
  smallInteger,
  Tag,
} from '../../ca/asn1.ts'
import { nameNode } from '../../ca/name.ts'
import { authorityName, userName } from './certificate-builder.ts'
import { anyExtension } from './extensions.ts'

const generalizedTime = (date: Date): Asn1Node =>
  characterString(
    Tag.generalizedTime,
    Buffer.from(`${date.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`),
  )

/** GeneralNames with one directory name. */
const directoryName = (name: typeof userName): Asn1Node => explicit(4, nameNode(name))

function attributeCertificate(notBefore: Date, notAfter: Date): Asn1Node {
  const algorithm = sequence(oid('1.2.840.113549.1.1.11'), nullValue())
  const group = sequence(
    implicitConstructed(0, [implicitPrimitive(6, Buffer.from('testvo://voms.example.org:15000'))]),
    sequence(octetString(Buffer.from('/testvo/Role=NULL/Capability=NULL'))),
  )
  const information = sequence(
    smallInteger(1),
    sequence(implicitConstructed(0, [sequence(directoryName(authorityName)), smallInteger(77)])),
    implicitConstructed(0, [sequence(directoryName(authorityName))]),
    algorithm,
    smallInteger(5),
    sequence(generalizedTime(notBefore), generalizedTime(notAfter)),
    sequence(sequence(oid('1.3.6.1.4.1.8005.100.100.4'), set(group))),
  )
  return sequence(information, algorithm, bitString(Buffer.alloc(256, 1)))
}

/** The extension; both times in seconds from now. */
export function vomsAttributes(now: Date, begins: number, ends: number): Asn1Node {
  const at = (seconds: number): Date => new Date(now.getTime() + seconds * 1000)
  const list = sequence(sequence(attributeCertificate(at(begins), at(ends))))
  return anyExtension('1.3.6.1.4.1.8005.100.100.5', list)
}
