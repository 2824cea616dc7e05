/** Extensions that the library does not write, for certificates that shall be refused. */
import {
  type Asn1Node,
  booleanTrue,
  encode,
  implicitPrimitive,
  octetString,
  oid,
  sequence,
  smallInteger,
} from '../../ca/asn1.ts'

/** Any extension. */
export function anyExtension(dotted: string, value: Asn1Node, critical = false): Asn1Node {
  return sequence(oid(dotted), critical ? booleanTrue() : undefined, octetString(encode(value)))
}

/** An extension that no one knows. */
export function unknownExtension(critical: boolean): Asn1Node {
  return anyExtension('1.3.6.1.4.1.99999.1', smallInteger(1), critical)
}

/** ProxyCertInfo with whatever language, policy and criticality. */
export function proxyCertInfoOf(options: {
  readonly language?: string
  readonly policy?: string
  readonly pathLength?: number
  readonly critical?: boolean
}): Asn1Node {
  const { language = '1.3.6.1.5.5.7.21.1', policy, pathLength, critical = true } = options
  const value = sequence(
    pathLength === undefined ? undefined : smallInteger(pathLength),
    sequence(oid(language), policy === undefined ? undefined : octetString(Buffer.from(policy))),
  )
  return anyExtension('1.3.6.1.5.5.7.1.14', value, critical)
}

/** extKeyUsage with one purpose. */
export function extendedKeyUsage(dotted: string): Asn1Node {
  return anyExtension('2.5.29.37', sequence(oid(dotted)))
}

/** subjectAltName with a DNS name. */
export function dnsName(name: string, dotted = '2.5.29.17'): Asn1Node {
  return anyExtension(dotted, sequence(implicitPrimitive(2, Buffer.from(name))))
}
